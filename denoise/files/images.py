"""Reading image files and writing their like; the formats have modules of their own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from denoise.errors import ImageError, OutputError
from denoise.files.bytes import content_of, is_pipe, is_zarr, read_bytes
from denoise.files.decoding import as_image_file, errors_explained, pixel_limit
from denoise.files.formats import (
    BY_NAME,
    RESULT_SUFFIXES,
    check_fit,
    format_of_suffix,
    recognise,
)
from denoise.files.image_file import ImageFile
from denoise.files.opening import HEAD, open_file
from denoise.files.outputs import atomic_folder, check_output, write_atomically
from denoise.files.samples import quantised


def read_image(
    source: Path | bytes,
    *,
    frame: int | None = None,
    axes: str | None = None,
    max_pixels: int | None = None,
    name: str = "stdin",
) -> ImageFile:
    """Read an image; its content decides the format, whatever its name.

    Of a file that may hold several, only the image that is wanted is read.

    Parameters
    ----------
    source : a file, the bytes of one, or a folder of OME-Zarr
    frame : which page or frame of several to read, from 1
    axes : along which they lie; see `files.series.open_series`
    max_pixels : larger images are refused before they are unpacked; by default Pillow's limit,
        `PIL.Image.MAX_IMAGE_PIXELS`
    name : of bytes, for messages

    Raises
    ------
    DamagedImageError
        If its file breaks off, or its pixels cannot be unpacked.
    ImageError
        If there is no such file, or it is not an image that can be denoised: of another format
        or a variant that is not read, too large, one of several, of other axes, or of a colour
        space or sample type that is unknown.
    """
    path = Path(name) if isinstance(source, bytes) else source
    if isinstance(source, Path) and is_pipe(source):
        source = read_bytes(source)
    with open_file(source, axes=axes, max_pixels=max_pixels, name=str(path)) as file:
        if file is not None:
            pages = file.pages
            return file.image(str(path), lambda limit: pages.alone(frame, limit))
    content = content_of(source)
    format_ = recognise(path, content)
    assert format_.decode is not None and isinstance(content, bytes)
    with errors_explained(str(path), format_.name):
        decoded = format_.decode(content, frame, pixel_limit(max_pixels))
        return as_image_file(path, format_.name, decoded)


def check_readable(path: Path) -> None:
    """Find out, from its first bytes, whether a file is an image; a pipe is left unread.

    Raises
    ------
    ImageError
        If it is not, or there is no such file, or it may not be read.
    """
    if not is_pipe(path):  # which can be read only once
        recognise(path, content_of(path, HEAD))


def result_suffix(path: Path) -> str:
    """The suffix for the name of a file that holds the like of an image file.

    It is the file's own one if images are written under it, else the usual one of the format
    that its content has.
    """
    is_there = os.path.isfile(path) or is_zarr(path)
    if path.suffix.lower() not in RESULT_SUFFIXES and is_there:
        try:
            return recognise(path, content_of(path, HEAD)).suffixes[0]
        except ImageError:
            pass  # reported when the file is read
    return path.suffix


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
        if format_.is_folder:
            return
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
    samples = quantised(pixels, like.sample_type)
    try:
        return format_.file_of(samples, like.alpha, like.metadata.kept(strip=strip))
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
    check_output(path, RESULT_SUFFIXES, overwrite=overwrite)
    like = like or ImageFile(path, np.asarray(pixels, np.float32))
    try:
        if format_of_suffix(path.suffix).is_folder:
            _write_folder(path, pixels, like, strip=strip)
            return
        data = encode_image(pixels, like, path.suffix, strip=strip)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    write_atomically(path, data)


def _write_folder(path: Path, pixels: ArrayLike, like: ImageFile, *, strip: bool) -> None:
    format_ = format_of_suffix(path.suffix)
    check_fit(format_, like)
    assert format_.new_pages is not None
    samples = quantised(pixels, like.sample_type)
    with atomic_folder(path) as folder:
        format_.new_pages(folder, ()).write(samples, like.alpha, like.metadata.kept(strip=strip))


def write_values(path: Path, values: NDArray[np.floating], *, overwrite: bool) -> None:
    """Write floats as they are; see `write_image`."""
    like = ImageFile(path, values, sample_type=values.dtype.name)
    write_image(path, values, like=like, overwrite=overwrite)
