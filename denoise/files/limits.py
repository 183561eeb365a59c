"""Checks that every format's decoder makes before it reads pixels."""

from __future__ import annotations

from denoise.errors import DamagedImageError, ImageError


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise an ImageError if there is nothing to denoise, or more than `max_pixels`."""
    if width < 1 or height < 1:
        raise DamagedImageError(f"damaged image file: its size is {width}x{height}")
    if width * height > max_pixels:
        raise ImageError(
            f"{width}x{height} is more than {max_pixels} pixels; cut it into smaller images or"
            " raise --max-pixels"
        )


def check_frame(frame: int | None, count: int) -> int:
    """The number, from 0, of the page or frame that the user chose.

    Parameters
    ----------
    frame : 1 to `count`, or None if there is nothing to choose from
    """
    if frame is None and count > 1:
        raise ImageError(f"holds {count} images; choose one with --frame, from 1 to {count}")
    number = 1 if frame is None else frame
    if not 1 <= number <= count:
        raise ImageError(f"has no frame {number}; --frame must lie in 1..{count}")
    return number - 1


def refused_type(bits: int, name: str) -> ImageError:
    """The error of pixels of a type that cannot be denoised."""
    return ImageError(
        f"pixels of {bits}-bit type {name} cannot be denoised; convert the image to 16-bit integers"
        " or float32"
    )
