"""The table of formats: what each one holds, and which one a name or content means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

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
from denoise.files.pages import Axes, Pages, PagesWriter, RowsWriter
from denoise.files.samples import SAMPLE_TYPES


@dataclass(frozen=True)
class Format:
    """A file format and what it holds.

    Attributes
    ----------
    suffixes : of file names, the usual one first
    recognises : whether a file's first bytes, or a folder, are of this format
    sample_types : that it holds, by NumPy's names
    alpha : whether it holds an alpha channel
    metadata : whether it holds EXIF data and a colour profile
    longest : largest width and height in pixels
    open_pages : opens a file of several images for reading, where they are frames of a series;
        the axes are named by the user, or None
    new_pages : writes such a file into one that is new and empty
    new_rows : writes an image of so many rows into one, some at a time
    is_folder : it is a folder, not a file: all functions take its path, and nothing is encoded; an
        image that is written is like one of another folder
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Any], bool]
    decode: Callable[[Any, int | None, int], Decoded]
    encode: Callable[[NDArray[Any], NDArray[Any] | None, Metadata], bytes]
    sample_types: frozenset[str]
    alpha: bool = True
    metadata: bool = True
    longest: int = 2**31 - 1
    open_pages: Callable[[Any, str | None], Pages] | None = None
    new_pages: Callable[[Any, Axes], PagesWriter] | None = None
    new_rows: Callable[[BinaryIO, int, Metadata], RowsWriter] | None = None
    is_folder: bool = False


_8_BITS, _16_BITS = frozenset({"uint8"}), frozenset({"uint8", "uint16"})
# fmt: off
FORMATS = (
    Format("PNG", (".png",), png.is_png, png.decode, png.encode, _16_BITS),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), jpeg.is_jpeg, jpeg.decode, jpeg.encode,
           _8_BITS, alpha=False, longest=65_500),
    Format("TIFF", (".tif", ".tiff"), tiff.is_tiff, tiff_pages.decode, tiff_writer.encode,
           SAMPLE_TYPES,
           open_pages=tiff_pages.TiffPages, new_pages=tiff_writer.TiffWriter,
           new_rows=tiff_writer.new_rows),
    Format("WebP", (".webp",), webp_bmp.is_webp, webp_bmp.decode_webp, webp_bmp.encode_webp,
           _8_BITS, longest=16_383),
    Format("BMP", (".bmp", ".dib"), webp_bmp.is_bmp, webp_bmp.decode_bmp, webp_bmp.encode_bmp,
           _8_BITS, metadata=False),
    Format("PNM", (".pgm", ".ppm", ".pnm"), pnm.is_pnm, pnm.decode, pnm.encode,
           _16_BITS, alpha=False, metadata=False),
    Format("NPY", (".npy",), npy.is_npy, npy.decode, npy.encode, SAMPLE_TYPES, metadata=False,
           open_pages=npy.NpyPages, new_pages=npy.NpyWriter),
    Format("FITS", (".fits", ".fit", ".fts"), fits.is_fits, fits.decode, fits.encode,
           fits.SAMPLE_TYPES, alpha=False, metadata=False,
           open_pages=fits.FitsPages, new_pages=fits.FitsWriter),
    Format("OME-Zarr", (".zarr",), is_zarr, zarr_pages.decode, zarr_writer.encode,
           SAMPLE_TYPES, alpha=False, metadata=False,
           open_pages=zarr_pages.ZarrPages, new_pages=zarr_writer.ZarrWriter, is_folder=True),
)
# fmt: on
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}
BY_NAME = {one.name: one for one in FORMATS}
# Suffixes of files that can be written, of all results, and of what is read from folders; bitmaps
# become gray.
IMAGE_SUFFIXES = tuple(suffix for suffix, one in _BY_SUFFIX.items() if not one.is_folder)
RESULT_SUFFIXES = tuple(_BY_SUFFIX)
INPUT_SUFFIXES = (*RESULT_SUFFIXES, ".pbm")


def recognised(content: bytes | Path) -> Format:
    """The format of a file by its first bytes, or of a folder.

    Raises
    ------
    ImageError
        If it is none of them.
    """
    for one in FORMATS:
        if one.is_folder == isinstance(content, Path) and one.recognises(content):
            return one
    known = ", ".join(one.name for one in FORMATS if not one.is_folder)
    what = "not an image that can be read" if content else "is empty, not an image"
    raise ImageError(f"{what}; expected {known}")


def format_of_suffix(suffix: str) -> Format:
    """The format of files with a name like this; an ImageError if there is none."""
    try:
        return _BY_SUFFIX[suffix.lower()]
    except KeyError:
        known = " ".join(RESULT_SUFFIXES)
        raise ImageError(f"unknown file type {suffix!r}; use one of {known}") from None


def format_with(
    feature: Literal["new_pages", "new_rows"],
    otherwise: str,
    use: str,
    path: Path | None,
    like: ImageFile,
) -> Format:
    """The format of a file that is to be written in pieces.

    Parameters
    ----------
    feature : that it must have
    otherwise, use : what to say of a format without it, and what it is for
    path : decides by its suffix; None means the format of `like`

    Raises
    ------
    OutputError
        If it does not have it, or holds no image like this.
    """
    try:
        format_ = BY_NAME[like.format] if path is None else format_of_suffix(path.suffix)
        if getattr(format_, feature) is None:
            known = [one for one in FORMATS if not one.is_folder]
            fit = [one.suffixes[0] for one in known if getattr(one, feature) is not None]
            raise ImageError(f"{format_.name} {otherwise}; use {' or '.join(fit)} for {use}")
        check_fit(format_, like)
    except ImageError as error:
        raise OutputError(f"{path or 'stdout'}: {error}") from None
    return format_


def holds_floats(path: Path) -> bool:
    """Whether the format of a file's name holds values as they are, not only a picture of them."""
    return "float32" in format_of_suffix(path.suffix).sample_types


def check_fit(format_: Format, image: ImageFile) -> None:
    """Raise an ImageError if a format has no room for the samples or the alpha channel."""

    def advice() -> str:
        fit = [
            one.suffixes[0]
            for one in FORMATS
            if image.sample_type in one.sample_types
            and (one.alpha or image.alpha is None)
            and not one.is_folder
        ]
        return f"use {' or '.join(fit)}"

    if format_.is_folder and not image.metadata.zarr.axes:
        raise ImageError(
            f"{format_.name} is written only of all images of an {format_.name}; {advice()}"
        )
    if image.sample_type not in format_.sample_types:
        raise ImageError(f"{format_.name} holds no {image.sample_type} pixels; {advice()}")
    if image.alpha is not None and not format_.alpha:
        raise ImageError(f"{format_.name} holds no alpha channel; {advice()}")


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
