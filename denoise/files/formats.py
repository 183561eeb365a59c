"""The table of formats: what each one holds, and which one a name or content means."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from denoise.errors import ImageError, OutputError
from denoise.files import (
    fits,
    jpeg,
    npy,
    png,
    pnm,
    tiff,
    tiff_pages,
    tiff_writer,
    webp_bmp,
    zarr_pages,
    zarr_writer,
)
from denoise.files.bytes import is_zarr
from denoise.files.ifd import orientation
from denoise.files.image_file import Decoded, ImageFile, Metadata
from denoise.files.pages import Axes, Pages, PagesWriter
from denoise.files.samples import SAMPLE_TYPES


@dataclass(frozen=True)
class Format:
    """A file format and what it holds.

    Attributes
    ----------
    suffixes : of file names, the usual one first
    recognises : whether a file's first bytes, or a folder, are of this format
    sample_types : that it holds, by NumPy's names
    decode : of a format of one image, reads it: from the bytes of a file, the number of a frame,
        from 1, or None, and the largest number of pixels
    encode : likewise writes it: from samples, alpha and metadata
    open_pages : of any other format, opens a file or folder for reading; axes are named by the
        user, or None
    new_pages : likewise writes images along some axes into a file or folder that is new and empty
    alpha : whether it holds an alpha channel
    metadata : whether it holds EXIF data and a colour profile
    longest : largest width and height in pixels
    is_folder : it is a folder, not a file; one that is written is like another one
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Any], bool]
    sample_types: frozenset[str]
    decode: Callable[[bytes, int | None, int], Decoded] | None = None
    encode: Callable[[NDArray[Any], NDArray[Any] | None, Metadata], bytes] | None = None
    open_pages: Callable[[Any, str | None], Pages] | None = None
    new_pages: Callable[[Any, Axes], PagesWriter] | None = None
    alpha: bool = True
    metadata: bool = True
    longest: int = 2**31 - 1
    is_folder: bool = False

    def file_of(
        self, samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata
    ) -> bytes:
        """The bytes of a file of one image; an ImageError if it has no room for it."""
        if self.encode is not None:
            return self.encode(samples, alpha, metadata)
        if self.is_folder:
            raise ImageError(f"{self.name} is a folder; give it a name")
        assert self.new_pages is not None
        file = io.BytesIO()
        self.new_pages(file, ()).write(samples, alpha, metadata)
        return file.getvalue()


_8_BITS, _16_BITS = frozenset({"uint8"}), frozenset({"uint8", "uint16"})
# fmt: off
FORMATS = (
    Format("PNG", (".png",), png.is_png, _16_BITS, png.decode, png.encode),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), jpeg.is_jpeg, _8_BITS,
           jpeg.decode, jpeg.encode, alpha=False, longest=65_500),
    Format("TIFF", (".tif", ".tiff"), tiff.is_tiff, SAMPLE_TYPES,
           open_pages=tiff_pages.TiffPages, new_pages=tiff_writer.TiffWriter),
    Format("WebP", (".webp",), webp_bmp.is_webp, _8_BITS,
           webp_bmp.decode_webp, webp_bmp.encode_webp, longest=16_383),
    Format("BMP", (".bmp", ".dib"), webp_bmp.is_bmp, _8_BITS,
           webp_bmp.decode_bmp, webp_bmp.encode_bmp, metadata=False),
    Format("PNM", (".pgm", ".ppm", ".pnm"), pnm.is_pnm, _16_BITS,
           pnm.decode, pnm.encode, alpha=False, metadata=False),
    Format("NPY", (".npy",), npy.is_npy, SAMPLE_TYPES,
           open_pages=npy.NpyPages, new_pages=npy.NpyWriter, metadata=False),
    Format("FITS", (".fits", ".fit", ".fts"), fits.is_fits, fits.SAMPLE_TYPES,
           open_pages=fits.FitsPages, new_pages=fits.FitsWriter, alpha=False, metadata=False),
    Format("OME-Zarr", (".zarr",), is_zarr, SAMPLE_TYPES,
           open_pages=zarr_pages.ZarrPages, new_pages=zarr_writer.ZarrWriter,
           alpha=False, metadata=False, is_folder=True),
)
# fmt: on
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}
BY_NAME = {one.name: one for one in FORMATS}
# Suffixes of files that can be written, of all results, and of what is read from folders; bitmaps
# become gray.
IMAGE_SUFFIXES = tuple(suffix for suffix, one in _BY_SUFFIX.items() if not one.is_folder)
RESULT_SUFFIXES = tuple(_BY_SUFFIX)
INPUT_SUFFIXES = (*RESULT_SUFFIXES, ".pbm")


def recognise(path: Path, content: bytes | Path) -> Format:
    """The format of a file by its first bytes, or of a folder; an ImageError if it is none.

    Parameters
    ----------
    path : for the message
    """
    for one in FORMATS:
        if one.is_folder == isinstance(content, Path) and one.recognises(content):
            return one
    known = ", ".join(one.name for one in FORMATS if not one.is_folder)
    what = "not an image that can be read" if content else "is empty, not an image"
    raise ImageError(f"{path}: {what}; expected {known}")


def format_of_suffix(suffix: str) -> Format:
    """The format of files with a name like this; an ImageError if there is none."""
    try:
        return _BY_SUFFIX[suffix.lower()]
    except KeyError:
        known = " ".join(RESULT_SUFFIXES)
        raise ImageError(f"unknown file type {suffix!r}; use one of {known}") from None


def format_in_pieces(path: Path | None, like: ImageFile, *, fault: str, use: str) -> Format:
    """The format of a file that is to be written image by image, or row by row.

    Parameters
    ----------
    path : decides by its suffix; None means the format of `like`
    fault, use : what to say of a format that holds one image, and what others are used for

    Raises
    ------
    OutputError
        If it holds one image, which is written at once, or no image like this.
    """
    try:
        format_ = BY_NAME[like.format] if path is None else format_of_suffix(path.suffix)
        if format_.new_pages is None:
            others = _suffixes(lambda one: one.new_pages is not None)
            raise ImageError(f"{format_.name} {fault}; use {others} for {use}")
        check_fit(format_, like)
    except ImageError as error:
        raise OutputError(f"{path or 'stdout'}: {error}") from None
    return format_


def holds_floats(path: Path) -> bool:
    """Whether the format of a file's name holds values as they are, not only a picture of them."""
    return "float32" in format_of_suffix(path.suffix).sample_types


def check_fit(format_: Format, image: ImageFile) -> None:
    """Raise an ImageError if a format has no room for the samples or the alpha channel."""

    name, has_alpha = format_.name, image.alpha is not None
    if format_.is_folder and not image.metadata.zarr.axes:
        fault = f"is written only of all images of an {name}"
    elif image.sample_type not in format_.sample_types:
        fault = f"holds no {image.sample_type} pixels"
    elif has_alpha and not format_.alpha:
        fault = "holds no alpha channel"
    else:
        return
    others = _suffixes(
        lambda one: image.sample_type in one.sample_types and (one.alpha or not has_alpha)
    )
    raise ImageError(f"{name} {fault}; use {others}")


def _suffixes(fits: Callable[[Format], bool]) -> str:
    """The usual suffixes of the formats of files that fit."""
    return " or ".join(one.suffixes[0] for one in FORMATS if fits(one) and not one.is_folder)


def lost_metadata(format_: Format, image: ImageFile) -> tuple[str, ...]:
    """One sentence for each tag about how pixels show that a format has no place for."""
    metadata, lost = image.metadata, []
    if not format_.metadata and orientation(metadata.exif) > 1:
        lost.append("the orientation: the picture will show turned or mirrored")
    if not format_.metadata and metadata.icc_profile:
        lost.append("the colour profile: colours may show differently")
    if format_.name != "PNG" and png.has_gamma(metadata.png_chunks):
        lost.append("the gamma of the PNG file: brightness may show differently")
    if format_.name != "FITS" and metadata.fits.has_coordinates:
        lost.append("the coordinates of the FITS file: where its pixels lie is not known any more")
    if format_.name != image.format and metadata.nodata is not None:
        lost.append("the value of missing data: pixels without data will look like others")
    if format_.name != image.format and metadata.zarr.folder is not None:
        lost.append("the attributes of OME-Zarr: scales, names of channels and levels are left out")
    return tuple(f"{format_.name} has no place for {what}" for what in lost)
