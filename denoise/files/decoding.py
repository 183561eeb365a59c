"""What a decoder returns becomes an image file, and what it raises a line for the user."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denoise.errors import DamagedImageError, ImageError
from denoise.files.image_file import Decoded, ImageFile
from denoise.files.samples import to_pixels

# What the decoders of Pillow, tifffile and imagecodecs raise for damaged files; those of
# imagecodecs are RuntimeErrors.
DECODER_ERRORS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
# The largest value of a float64 file has to lie between these, since models compute in float32.
LEAST_LARGEST, MOST_LARGEST = 1e-30, float(np.finfo(np.float32).max)


@contextmanager
def errors_explained(name: str, format_name: str) -> Iterator[None]:
    """Turn what a decoder raises into an ImageError that begins with `name`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is not quite right
            yield
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: too many pixels; cut it into smaller images") from None
    except NotImplementedError as error:
        raise ImageError(f"{name}: this kind of {format_name} is not read: {error}") from None
    except DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedImageError(f"{name}: damaged {format_name} file: {reason}") from None


def pixel_limit(max_pixels: int | None) -> int:
    """The largest number of pixels of an image: `max_pixels`, or Pillow's limit."""
    return max_pixels or Image.MAX_IMAGE_PIXELS or 2**62


def as_image_file(path: Path, format_name: str, decoded: Decoded) -> ImageFile:
    """The image of a file, as denoisers see it.

    Raises
    ------
    ImageError
        If its values would have to be rescaled first.
    """
    void = _void(decoded)
    _check_range(decoded.samples if void is None else decoded.samples[~void])
    return ImageFile(
        path,
        to_pixels(decoded.samples),
        decoded.alpha,
        decoded.samples.dtype.name,
        format_name,
        decoded.metadata,
        decoded.notes,
        void,
        decoded.frames,
        decoded.axes,
    )


def _void(decoded: Decoded) -> NDArray[np.bool_] | None:
    """Pixels that are transparent or hold no data; transparency that leaves nothing is none."""
    void = np.zeros(decoded.samples.shape[:2], bool)
    if decoded.alpha is not None and decoded.alpha.any():
        void |= decoded.alpha == 0
    if decoded.no_data is not None:
        void |= decoded.no_data
    return void if void.any() else None


def _check_range(samples: NDArray[Any]) -> None:
    """Refuse float64 files that would have to be rescaled first."""
    if samples.dtype != np.float64:
        return
    largest = float(np.abs(samples[np.isfinite(samples)]).max(initial=0))
    if largest > MOST_LARGEST:
        raise ImageError("values are too large for float32; rescale the image")
    if 0 < largest < LEAST_LARGEST:
        raise ImageError("values are too small for float32; rescale the image")
