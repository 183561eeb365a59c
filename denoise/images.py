"""Image files <-> float arrays. The only module that knows about file formats."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from denoise.errors import ImageError
from denoise.outputs import check_output, write_atomically

# File name suffix -> Pillow's format and the arguments that lose least.
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}
IMAGE_SUFFIXES = tuple(_FORMATS)
_READABLE = sorted({name for name, _ in _FORMATS.values()})
COLOUR_NAMES = {1: "gray", 3: "RGB"}


@dataclass(frozen=True)
class ImageFile:
    """An image as it was read, with what it takes to write its like.

    Attributes
    ----------
    path : where it came from
    pixels : (height, width) or (height, width, 3) float32, 0..255
    metadata : Pillow's arguments that write the same EXIF, ICC profile and resolution
    """

    path: Path
    pixels: NDArray[np.float32]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    @property
    def description(self) -> str:
        """Width, height and colour, such as "256x256 gray"."""
        height, width = self.pixels.shape[:2]
        return f"{width}x{height} {COLOUR_NAMES[self.channels]}"


def read_image(path: Path) -> ImageFile:
    """Read an 8-bit gray or RGB image in PNG, JPEG or TIFF format.

    Raises
    ------
    ImageError
        If there is no such file, or it is not such an image. Deeper images, palettes, alpha
        channels and animations are refused rather than silently reduced.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_READABLE) as image:
                _refuse_what_would_be_lost(path, image)
                image.load()
                kept = ("exif", "icc_profile", "dpi")
                metadata = {name: image.info[name] for name in kept if name in image.info}
                return ImageFile(path, np.asarray(image, dtype=np.float32), metadata)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image; expected {', '.join(_READABLE)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise ImageError(f"{path}: more than {limit} pixels; cut it into smaller images") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SyntaxError, ValueError, struct.error) as error:  # what Pillow's parsers raise
        raise ImageError(f"{path}: damaged image file: {error}") from None


def _refuse_what_would_be_lost(path: Path, image: Image.Image) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise ImageError(f"{path}: holds several images; save the one you want on its own")
    if image.mode not in ("L", "RGB") or "transparency" in image.info:
        transparency = " with transparency" if "transparency" in image.info else ""
        raise ImageError(
            f"{path}: pixels are of the kind {image.mode!r}{transparency}; only 8-bit gray and"
            " RGB can be denoised, convert the image first"
        )
    if _bits_per_channel(path, image) > 8:
        raise ImageError(f"{path}: more than 8 bits per channel; convert the image to 8 bits first")


def _bits_per_channel(path: Path, image: Image.Image) -> int:
    """Depth in the file: Pillow opens deep colour images as 8 bit without a word."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]  # signature 8, length 4, "IHDR" 4, width 4, height 4, depth
    if image.format == "TIFF":
        depths: tuple[int, ...] = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return max(depths)
    return 8


def write_image(
    path: Path, pixels: ArrayLike, *, metadata: dict[str, Any] | None = None, overwrite: bool
) -> None:
    """Write pixels as an 8-bit image; the file appears complete or not at all.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3), 0..255; rounded and clipped
    metadata : of the `ImageFile` that it was made from
    overwrite : replace an existing file

    Raises
    ------
    ImageError
        If the metadata does not fit the format.
    OutputError
        If the file exists and `overwrite` is not set, or cannot be written.
    """
    check_output(path, IMAGE_SUFFIXES, overwrite=overwrite)
    name, arguments = _FORMATS[path.suffix.lower()]
    buffer = io.BytesIO()
    try:
        Image.fromarray(to_8bit(pixels)).save(buffer, name, **arguments, **(metadata or {}))
    except (OSError, ValueError) as error:  # such as metadata that the format has no room for
        raise ImageError(f"{path}: cannot be saved as {name}: {error}") from None
    write_atomically(path, buffer.getvalue())


def to_8bit(pixels: ArrayLike) -> NDArray[np.uint8]:
    """Round to whole gray levels and clip to 0..255."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
