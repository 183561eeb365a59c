"""Image files <-> pixels: what goes in comes out. The formats have modules of their own."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files.bytes import is_pipe, read_bytes
from denoise.files.formats import (
    BY_NAME,
    IMAGE_SUFFIXES,
    Format,
    check_fit,
    format_of_suffix,
    recognised,
)
from denoise.files.image_file import Decoded, ImageFile, Metadata
from denoise.files.outputs import check_output, write_atomically
from denoise.files.samples import quantised, to_pixels

# What the decoders of Pillow, tifffile and imagecodecs raise for damaged files; the last
# one's errors are RuntimeErrors.
DECODER_ERRORS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
# This many bytes at the start of a file show its format.
HEAD = 64
# The largest value of a float64 file lies between these: models compute in float32.
LEAST_LARGEST, MOST_LARGEST = 1e-30, float(np.finfo(np.float32).max)


def read_image(
    source: Path | bytes,
    *,
    frame: int | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> ImageFile:
    """Read an image; its content decides the format, whatever its name.

    Parameters
    ----------
    source : a file, or the bytes of one
    frame : which page or frame of several to read, from 1
    max_pixels : larger images are refused before they are unpacked; by default Pillow's limit,
        `PIL.Image.MAX_IMAGE_PIXELS`
    name : of bytes, for messages

    Raises
    ------
    DamagedImageError
        If its file breaks off, or its pixels cannot be unpacked.
    ImageError
        If there is no such file, or it is not an image that can be denoised: of another format
        or a variant that is not read, too large, one of several, or of a colour space or sample
        type that is unknown.
    """
    path = Path(name) if isinstance(source, bytes) else source
    data = source if isinstance(source, bytes) else read_bytes(source)
    format_ = _recognise(path, data)
    limit = max_pixels or Image.MAX_IMAGE_PIXELS or 2**62
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is not quite right
            decoded = format_.decode(data, frame, limit)
        void = _void(decoded)
        _check_range(decoded.samples if void is None else decoded.samples[~void])
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: too many pixels; cut it into smaller images") from None
    except NotImplementedError as error:
        raise ImageError(f"{path}: this kind of {format_.name} is not read: {error}") from None
    except DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedImageError(f"{path}: damaged {format_.name} file: {reason}") from None
    return ImageFile(
        path,
        to_pixels(decoded.samples),
        decoded.alpha,
        decoded.samples.dtype.name,
        format_.name,
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


def check_readable(path: Path) -> None:
    """Find out, from its first bytes, whether a file is an image; a pipe is left unread.

    Raises
    ------
    ImageError
        If it is not, or there is no such file, or it may not be read.
    """
    if not is_pipe(path):  # which can be read only once
        _recognise(path, read_bytes(path, HEAD))


def result_suffix(path: Path) -> str:
    """The suffix for the name of a file that holds the like of an image file.

    It is the file's own one if images are written under it, else the usual one of the format
    that its content has.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES and os.path.isfile(path):
        try:
            return _recognise(path, read_bytes(path, HEAD)).suffixes[0]
        except ImageError:
            pass  # reported when the file is read
    return path.suffix


def _recognise(path: Path, data: bytes) -> Format:
    try:
        return recognised(data)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def check_writable(path: Path, image: ImageFile, *, strip: bool = False) -> None:
    """Find out before the work whether the format of a file's name holds the like of an image.

    Raises
    ------
    OutputError
        If it does not, with a format that does.
    """
    try:
        one_row = image.pixels[:1]
        alpha = None if image.alpha is None else image.alpha[:1]
        height, width = image.pixels.shape[:2]
        format_ = format_of_suffix(path.suffix)
        check_fit(format_, image)
        if path.suffix.lower() == ".pgm" and image.channels > 1:
            raise ImageError(".pgm holds gray only; use .ppm")
        if max(height, width) > format_.longest:
            raise ImageError(f"{format_.name} holds at most {format_.longest} rows and columns")
        finite = np.nan_to_num(one_row, posinf=0.0, neginf=0.0)
        encode_image(finite, replace(image, pixels=one_row, alpha=alpha), path.suffix, strip=strip)
    except ImageError as error:
        raise OutputError(f"{path}: {error}") from None


def encode_image(
    pixels: ArrayLike, like: ImageFile, suffix: str | None = None, *, strip: bool = False
) -> bytes:
    """The bytes of an image file.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3) on the scale of `ImageFile.pixels`
    like : gives sample type, alpha channel and metadata
    suffix : names the format, such as ".png"; by default that of `like`
    strip : leave out all metadata, colour profile and orientation included

    Raises
    ------
    ImageError
        If the format cannot hold the image.
    """
    format_ = BY_NAME[like.format] if suffix is None else format_of_suffix(suffix)
    check_fit(format_, like)
    metadata = _stripped(like.metadata) if strip else like.metadata
    try:
        return format_.encode(quantised(pixels, like.sample_type), like.alpha, metadata)
    except (OSError, ValueError) as error:  # Pillow's encoders
        raise ImageError(f"cannot be saved as {format_.name}: {error}") from None


def write_image(
    path: Path,
    pixels: ArrayLike,
    *,
    like: ImageFile | None = None,
    strip: bool = False,
    overwrite: bool,
) -> None:
    """Write an image in the format of the file's name; it appears complete or not at all.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3) on the scale of `ImageFile.pixels`
    like : gives sample type, alpha channel and metadata; by default 8 bits and nothing else
    strip : leave out all metadata, colour profile and orientation included
    overwrite : replace an existing file

    Raises
    ------
    ImageError
        If the format cannot hold the image.
    OutputError
        If the file exists and `overwrite` is not set, or cannot be written.
    """
    check_output(path, IMAGE_SUFFIXES, overwrite=overwrite)
    like = like or ImageFile(path, np.asarray(pixels, np.float32))
    try:
        data = encode_image(pixels, like, path.suffix, strip=strip)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    write_atomically(path, data)


def _stripped(metadata: Metadata) -> Metadata:
    """Nothing but how the pixels are stored."""
    layout = replace(metadata.tiff, tags=())
    return Metadata(jpeg_tables=metadata.jpeg_tables, tiff=layout)
