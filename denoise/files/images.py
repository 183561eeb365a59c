"""Image files <-> float arrays: what goes in comes out. The formats have modules of their own."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files.formats import (
    BY_NAME,
    IMAGE_SUFFIXES,
    Format,
    check_fit,
    format_of_suffix,
    recognised,
)
from denoise.files.image_file import ImageFile, Metadata
from denoise.files.outputs import check_output, write_atomically
from denoise.files.samples import quantised, to_pixels

# What the decoders of Pillow, tifffile and imagecodecs raise for damaged files; the last
# one's errors are RuntimeErrors.
DECODER_ERRORS = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)


# Bytes at the start of a file that tell its format.
HEAD = 64


def read_image(
    source: Path | bytes,
    *,
    frame: int | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> ImageFile:
    """Read an image; its content tells the format, whatever its name.

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
        If there is no such file, or it is not an image that can be denoised: of another format,
        too large, one of several, or of a colour space or sample type that is unknown.
    """
    path = Path(name) if isinstance(source, bytes) else source
    data = source if isinstance(source, bytes) else _read_bytes(source)
    format_ = _recognise(path, data)
    limit = max_pixels or Image.MAX_IMAGE_PIXELS or 2**62
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is not quite right
            decoded = format_.decode(data, frame, limit)
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path}: too many pixels; cut it into smaller images") from None
    except DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, NotImplementedError) or "support" in reason:
            raise ImageError(f"{path}: this kind of {format_.name} is not read: {reason}") from None
        raise DamagedImageError(f"{path}: damaged {format_.name} file: {reason}") from None
    samples, alpha, metadata, notes = decoded
    pixels = to_pixels(samples)
    if np.isinf(pixels).sum() > np.isinf(samples).sum():
        raise ImageError(f"{path}: values are too large for float32; rescale the image")
    return ImageFile(path, pixels, alpha, samples.dtype.name, format_.name, metadata, notes)


def check_readable(path: Path) -> None:
    """Find out, from its first bytes, whether a file is an image.

    Raises
    ------
    ImageError
        If it is not, or there is no such file, or it may not be read.
    """
    _recognise(path, _read_bytes(path, HEAD))


def _recognise(path: Path, data: bytes) -> Format:
    try:
        return recognised(data)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _read_bytes(path: Path, count: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None


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
        if path.suffix.lower() == ".pbm":
            raise ImageError(".pbm holds black and white only; use .pgm")
        if max(height, width) > format_.longest:
            raise ImageError(f"{format_.name} holds at most {format_.longest} rows and columns")
        finite = np.nan_to_num(one_row, posinf=0.0, neginf=0.0)
        encode_image(finite, replace(image, pixels=one_row, alpha=alpha), path.suffix, strip=strip)
    except ImageError as error:
        raise OutputError(f"{path}: {error}") from None


def encode_image(
    pixels: ArrayLike, like: ImageFile, suffix: str | None = None, *, strip: bool = False
) -> bytes:
    """A file's bytes.

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
