"""The images of a TIFF file: one for each page, or for each piece of a stack in one piece.

Previews and masks are left out. A page has a directory of its own; ImageJ and tifffile also write
stacks of which only the first image has one, and the others follow it without a gap.
"""

from __future__ import annotations

import io
import mmap
import struct
from functools import cached_property
from typing import BinaryIO

import imagecodecs
import numpy as np
from tifffile import TiffFile, TiffPage

from denoise.errors import DamagedImageError, ImageError
from denoise.files import ifd
from denoise.files.axes import described_axes, fitting_axes, is_of_several_files, named_axes
from denoise.files.bytes import contents
from denoise.files.image_file import Decoded
from denoise.files.pages import Pages
from denoise.files.tiff import (
    BITS,
    CAMERA_RAW,
    CANON_RAW,
    NODATA,
    SAMPLE_FORMAT,
    check_page,
    decode_page,
    page_metadata,
)
from denoise.files.tiff_rows import Read, file_of_rows
from denoise.files.tiff_writer import DESCRIPTION, LZW

OF_SEVERAL_FILES = (
    "it is part of an OME-TIFF image of several files; only what is in this file is read"
)
# tifffile's remark on a stack in one piece.
TRUNCATED = b', "truncated": true'


class TiffPages(Pages):
    """The images of a TIFF file, read one at a time; see `files.pages.Pages`.

    Parameters
    ----------
    axes : names, perhaps lengths, of the axes along which they lie, by the user; see `named_axes`

    Raises
    ------
    ImageError
        If it is a camera's raw file, or damaged, or its axes are others.
    """

    def __init__(self, file: BinaryIO, axes: str | None = None) -> None:
        self._data = contents(file)
        if self._data[4:12] in CANON_RAW:
            raise ImageError("is a camera's raw file; develop it to a TIFF or PNG first")
        self._order = ifd.byte_order(self._data)
        self._tags = {}  # number of the directory: its tags
        for number, offset in enumerate(ifd.directory_offsets(self._data)):
            tags = ifd.read_directory(self._data, offset)
            if not _is_preview(tags, self._order):
                _check_alike(tags)
                self._tags[number] = tags
        if not self._tags:
            raise ImageError("holds only previews, as a camera's raw file does; convert it first")
        self._numbers = list(self._tags)
        self._tiff = TiffFile(file)
        first = {tag.code: tag.data for tag in self._tags[self._numbers[0]]}
        description = first.get(DESCRIPTION, b"")
        self._notes = (OF_SEVERAL_FILES,) if is_of_several_files(description) else ()
        self.axes = fitting_axes(described_axes(description), len(self)) if len(self) > 1 else ()
        if axes is not None:
            self.axes = named_axes(axes, tuple(length for _, length in self.axes))
        self.stored_axes = self.axes  # pages follow each other, whatever they are

    def __exit__(self, *_: object) -> None:
        self._tiff.close()
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __len__(self) -> int:
        return max(len(self._tags), self._in_one_piece)

    def decode(self, number: int, max_pixels: int, *, whole_file: bool) -> Decoded:
        page, tags = self._checked(number, max_pixels)
        if number >= len(self._numbers):
            return self.rows(number, 0, page.imagelength, max_pixels, whole_file=whole_file)
        if int(page.compression) == LZW:  # tifffile's way to decode it crashes at some damage
            array = imagecodecs.tiff_decode(self._data, index=self._numbers[number])
        else:
            array = page.asarray()
        whole_file = whole_file or not self._is_stack
        decoded = decode_page(np.asarray(array), page, tags, self._order, whole_file=whole_file)
        return decoded._replace(notes=(*self._notes, *decoded.notes))

    def size(self, number: int) -> tuple[int, int]:
        page = self._page(number)
        return page.imagelength, page.imagewidth

    def rows(
        self, number: int, top: int, bottom: int, max_pixels: int, *, whole_file: bool
    ) -> Decoded:
        page, tags = self._checked(number, max_pixels)
        data, first = file_of_rows(page, tags, self._order, top, bottom, self._reader(page, number))
        with TiffPages(io.BytesIO(data)) as part:
            decoded = part.decode(0, max_pixels, whole_file=True)
        if decoded.metadata.tiff.nodata is None:  # values are no longer what the tag says
            tags = tuple(tag for tag in tags if tag.code != NODATA)
        described = whole_file and number < len(self._numbers)
        metadata = page_metadata(tags, self._order, page, in_stack=self._is_stack and not described)
        rows = slice(top - first, bottom - first)
        alpha, no_data = (
            None if values is None else values[rows] for values in (decoded.alpha, decoded.no_data)
        )
        return Decoded(
            decoded.samples[rows], alpha, metadata, (*self._notes, *decoded.notes), no_data
        )

    def _page(self, number: int) -> TiffPage:
        page = self._tiff.pages[self._numbers[number if number < len(self._numbers) else 0]]
        assert isinstance(page, TiffPage)
        return page

    def _checked(self, number: int, max_pixels: int) -> tuple[TiffPage, tuple[ifd.Tag, ...]]:
        """A page that can be denoised, and its tags."""
        tags = self._tags[self._numbers[number if number < len(self._numbers) else 0]]
        if any(tag.code == CAMERA_RAW for tag in tags):
            raise ImageError("is a camera's raw file; develop it to a TIFF or PNG first")
        page = self._page(number)
        check_page(page, max_pixels)
        if self._in_one_piece > 1:  # and will be in several
            tags = tuple(tag._replace(data=tag.data.replace(TRUNCATED, b"")) for tag in tags)
        return page, tags

    def _reader(self, page: TiffPage, number: int) -> Read:
        """What reads bytes of an image at the offsets of its page, without mapping the file."""
        file, shift, what = self._tiff.filehandle, 0, "a strip"
        if number >= len(self._numbers):  # it follows the image of the page
            if not page.is_contiguous:
                raise ImageError("is a stack in one piece, of which only image 1 can be read")
            shift, what = number * page.nbytes, f"image {number + 1}"

        def read(offset: int, count: int) -> bytes:
            file.seek(offset + shift)
            data = bytes(file.read(count))
            if len(data) < count:
                raise DamagedImageError(f"truncated image file: {what} is missing")
            return data

        return read

    @property
    def _is_stack(self) -> bool:
        """Whether the first page describes several images."""
        described = self._tiff.is_imagej or self._tiff.is_shaped or self._tiff.is_ome
        return len(self) > 1 and bool(described)

    @cached_property
    def _in_one_piece(self) -> int:
        """Images in a stack whose pages after the first one have no directory of their own."""
        if len(self._tags) > 1 or not (self._tiff.is_imagej or self._tiff.is_shaped):
            return 1
        first, series = self._tiff.pages.first, self._tiff.series
        return series[0].size // max(first.size, 1) if series else 1


def _is_preview(tags: tuple[ifd.Tag, ...], order: str) -> bool:
    """A reduced copy (1) of another image, or a mask (4)."""
    kinds = [t.data for t in tags if t.code == 254 and t.type == ifd.LONG]
    return bool(kinds) and bool(struct.unpack_from(order + "I", kinds[0])[0] & 5)


def _check_alike(tags: tuple[ifd.Tag, ...]) -> None:
    """Refuse channels of several types, which tifffile takes for damage."""
    for tag in tags:
        is_type = tag.code in (BITS, SAMPLE_FORMAT) and tag.type == ifd.SHORT
        if is_type and len(set(struct.iter_unpack("H", tag.data))) > 1:
            raise ImageError("its channels are of different types; convert them to one")
