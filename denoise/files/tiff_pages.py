"""The images of a TIFF file: one for each page, or for each piece of a stack in one piece.

Previews and masks are left out. A page has a directory of its own; ImageJ and tifffile also write
stacks of which only the first image has one, and the others follow it without a gap.
"""

from __future__ import annotations

import io
import mmap
import struct
from functools import cached_property
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from denoise.errors import DamagedImageError, ImageError
from denoise.files import ifd
from denoise.files.axes import described_axes, fitting_axes, named_axes
from denoise.files.bytes import contents
from denoise.files.image_file import Decoded
from denoise.files.pages import decode_frame
from denoise.files.tiff import (
    BITS,
    CAMERA_RAW,
    CANON_RAW,
    SAMPLE_FORMAT,
    STACK,
    check_page,
    decode_page,
)
from denoise.files.tiff_writer import DESCRIPTION, LZW

# tifffile's remark on a stack in one piece.
TRUNCATED = b', "truncated": true'


def decode(data: bytes, frame: int | None, max_pixels: int) -> Decoded:
    """Samples, alpha and tags of one image; see `Format.decode`.

    Raises
    ------
    ImageError
        If it is larger than `max_pixels` or of a kind that cannot be denoised.
    """
    with TiffPages(io.BytesIO(data)) as pages:
        return decode_frame(pages, frame, max_pixels)


class TiffPages:
    """The images of a TIFF file, read one at a time; see `files.pages.Pages`.

    Parameters
    ----------
    axes : names of the axes along which they lie, by the user; see `named_axes`

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
        self.axes = described_axes(first.get(DESCRIPTION, b""))
        if len(self) > 1:
            self.axes = fitting_axes(self.axes, len(self))
        if axes is not None:
            self.axes = named_axes(axes, tuple(length for _, length in self.axes))

    def __enter__(self) -> TiffPages:
        return self

    def __exit__(self, *_: object) -> None:
        self._tiff.close()
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __len__(self) -> int:
        return max(len(self._tags), self._in_one_piece)

    def decode(self, number: int, max_pixels: int, *, whole_file: bool) -> Decoded:
        """Image `number`, from 0; `whole_file` if all others are wanted, too.

        Raises
        ------
        ImageError
            If it is larger than `max_pixels` or of a kind that cannot be denoised.
        """
        own = number < len(self._numbers)
        directory = self._numbers[number if own else 0]
        tags = self._tags[directory]
        if any(tag.code == CAMERA_RAW for tag in tags):
            raise ImageError("is a camera's raw file; develop it to a TIFF or PNG first")
        page = self._tiff.pages[directory]
        assert isinstance(page, TiffPage)
        check_page(page, max_pixels)
        if self._in_one_piece > 1:
            tags = tuple(
                tag._replace(data=tag.data.replace(TRUNCATED, b"")) for tag in tags
            )  # it will be in several
        if not own:
            tags = tuple(tag for tag in tags if tag.code not in STACK)
            array = self._piece(page, number)
        elif int(page.compression) == LZW:  # tifffile's way to decode it crashes at some damage
            array = np.asarray(imagecodecs.tiff_decode(self._data, index=directory))
        else:
            array = np.asarray(page.asarray())
        in_stack = len(self) > 1 and (
            self._tiff.is_imagej or self._tiff.is_shaped or self._tiff.is_ome
        )
        return decode_page(array, page, tags, self._order, whole_file=whole_file or not in_stack)

    @cached_property
    def _in_one_piece(self) -> int:
        """Images in a stack whose pages after the first one have no directory of their own."""
        if len(self._tags) > 1 or not (self._tiff.is_imagej or self._tiff.is_shaped):
            return 1
        first, series = self._tiff.pages.first, self._tiff.series
        return series[0].size // max(first.size, 1) if series else 1

    def _piece(self, page: TiffPage, number: int) -> NDArray[Any]:
        if not page.is_contiguous or page.dtype is None:
            raise ImageError("is a stack in one piece, of which only image 1 can be read")
        dtype = page.dtype.newbyteorder(self._tiff.byteorder)
        file = self._tiff.filehandle
        file.seek(page.dataoffsets[0] + number * page.nbytes)
        data = file.read(page.nbytes)
        if len(data) < page.nbytes:
            raise DamagedImageError(f"truncated image file: image {number + 1} is missing")
        return np.frombuffer(data, dtype).reshape(page.shape)


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
