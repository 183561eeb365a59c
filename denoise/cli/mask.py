"""The mask of an image: which of its pixels are missing, and are to be filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise.cli.settings import Settings
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.files.samples import PEAK


def marked_pixels(path: Path, image: ImageFile, settings: Settings) -> NDArray[np.bool_]:
    """Where the mask in a file says that pixels of the image are missing: (height, width).

    Raises
    ------
    ImageError
        If the mask cannot be read, has another size, or leaves nothing of the image.
    """
    mask = read_image(path, max_pixels=settings.max_pixels)
    marked = _marked(mask)
    if marked.shape != image.picture.shape:
        height, width = marked.shape
        raise ImageError(
            f"{path}: the mask is {width}x{height} pixels, but {image.path} is"
            f" {image.description}; give a mask of the same size"
        )
    marked &= image.picture
    if marked.any() and marked[image.picture].all():
        raise ImageError(
            f"{path}: the mask marks every pixel of {image.path}; pixels to fill in are white or"
            " transparent in it, and all others black"
        )
    return marked


def mask_notes(marked: NDArray[np.bool_] | None) -> tuple[str, ...]:
    """How many pixels a mask marks."""
    if marked is None:
        return ()
    count = f"{np.count_nonzero(marked)} pixels" if marked.any() else "no pixel"
    return (f"the mask marks {count} to fill in",)


def with_missing(noisy: ImageFile, marked: NDArray[np.bool_] | None, *, fill: bool) -> ImageFile:
    """The image, NaN where pixels are missing that are to be filled in: marked ones, or all.

    Parameters
    ----------
    marked : (height, width) by a mask, if there is one
    fill : whether pixels that are not finite may be filled in

    Raises
    ------
    ImageError
        If they may not, or there is no value at all.
    """
    if marked is not None:
        where = marked if noisy.pixels.ndim == 2 else marked[..., None]
        rest = with_missing(
            replace(noisy, pixels=np.where(where, 0, noisy.pixels)), None, fill=fill
        )
        return replace(rest, pixels=np.where(where, np.float32(np.nan), rest.pixels))
    finite = np.isfinite(noisy.pixels)
    if fill and noisy.void is not None:  # also those that a file calls missing by NaN
        noisy = replace(noisy, void=noisy.void & finite.reshape(*noisy.void.shape, -1).all(2))
    missing = noisy.find_non_finite()
    if missing is None:
        return noisy
    if not fill:
        raise ImageError(
            f"{noisy.path}: {missing.count} pixels are not finite (first at row {missing.row},"
            f" column {missing.column}); use --fill-missing"
        )
    if not finite.any():
        raise ImageError(f"{noisy.path}: the image holds no value at all")
    return replace(noisy, pixels=np.where(finite, noisy.pixels, np.float32(np.nan)))


def _marked(mask: ImageFile) -> NDArray[np.bool_]:
    """Transparent pixels of a mask that has some, and of others those that are not black.

    Black is not quite black in a JPEG, so that there they have to be lighter than middle gray.
    """
    if mask.alpha is not None and (mask.alpha != mask.alpha.max()).any():
        return np.asarray(mask.alpha != mask.alpha.max())
    values = np.nan_to_num(mask.pixels.reshape(*mask.pixels.shape[:2], -1), nan=PEAK)
    return np.asarray((np.abs(values) > (PEAK / 2 if mask.format == "JPEG" else 0)).any(2))
