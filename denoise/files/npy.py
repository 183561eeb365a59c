"""NumPy's .npy: an image, or several in one array, as numbers after a short header.

Nothing that has to be unpickled is read.
"""

from __future__ import annotations

import math
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from denoise.errors import DamagedImageError, ImageError
from denoise.files.array_shape import ArrayShape, array_shape
from denoise.files.arrays import FileArrayPages, FileArrayWriter
from denoise.files.axes import UNNAMED
from denoise.files.bytes import contents
from denoise.files.image_file import Decoded, Metadata, NpyLayout
from denoise.files.limits import refused_type
from denoise.files.samples import SAMPLE_TYPES, split_alpha

VERSIONS = ((1, 0), (2, 0), (3, 0))
# Lengths of a last axis that are samples of a pixel: gray, RGB and RGBA.
SAMPLES = (1, 3, 4)


def is_npy(data: bytes) -> bool:
    return data.startswith(npy.MAGIC_PREFIX)


class NpyPages(FileArrayPages):
    """The images of an array, read one at a time; see `files.pages.Pages`.

    Parameters
    ----------
    axes : letters of all axes, by the user; see `array_shape`

    Raises
    ------
    ImageError
        If the file is damaged, its type is not one of pixels, or it has other axes.
    """

    def __init__(self, file: BinaryIO, axes: str | None = None) -> None:
        lengths, fortran, dtype = _read_header(file)
        if dtype.name not in (*SAMPLE_TYPES, "bool"):
            raise refused_type(8 * dtype.itemsize, dtype.name)
        shape = array_shape(lengths, _usual_letters(lengths), axes)
        start = file.tell()
        size, needed = len(contents(file)) - start, math.prod(lengths) * dtype.itemsize
        if size < needed:
            raise DamagedImageError(f"truncated image file: {size} of {needed} bytes")
        if size > needed:
            raise ImageError(
                f"holds {size - needed} bytes after its array; save the array in a file of its own"
            )
        super().__init__(file, start, dtype, shape, fortran=fortran)

    def _decoded(self, image: NDArray[Any], *, whole_file: bool) -> Decoded:
        notes: tuple[str, ...] = ()
        if image.dtype == bool:
            image = image.astype(np.uint8) * np.uint8(255)
            notes = ("1-bit pixels are written as 8-bit gray",)
        samples, alpha = split_alpha(image)
        letters = self._shape.letters if whole_file else ""
        layout = NpyLayout(self._dtype.str[0], letters, self._fortran)
        return Decoded(samples, alpha, Metadata(npy=layout), notes)


class NpyWriter(FileArrayWriter):
    """Writes an array in the byte order and order of axes of its source."""

    colours = "YXS"

    def _letters(self, metadata: Metadata) -> str:
        return metadata.npy.axes

    def _write_header(
        self, shape: ArrayShape, dtype: np.dtype[Any], metadata: Metadata
    ) -> tuple[np.dtype[Any], bool]:
        layout = metadata.npy
        stored = dtype.newbyteorder(layout.byte_order)  # type: ignore[arg-type]
        header = {
            "descr": npy.dtype_to_descr(stored),
            "fortran_order": layout.fortran,
            "shape": shape.lengths,
        }
        npy.write_array_header_1_0(self._file, header)
        return stored, layout.fortran


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis is the fastest one, and type of the numbers that follow."""
    version = npy.read_magic(file)
    if version not in VERSIONS:
        raise ImageError(f"is of version {version[0]}.{version[1]} of NPY; use 1.0, 2.0 or 3.0")
    # Version 3.0 differs from 2.0 only in the names of fields, which no image has.
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        lengths, fortran, dtype = read(file)
    except TokenError:
        raise DamagedImageError("damaged image file: its header has no end") from None
    if any(length < 0 for length in lengths):
        raise DamagedImageError(f"damaged image file: its size is {lengths}")
    return tuple(map(int, lengths)), fortran, dtype


def _usual_letters(lengths: tuple[int, ...]) -> str:
    """A letter for each axis: images, whose last axis may be colours, along axes without names."""
    inner = "YXS" if len(lengths) > 2 and lengths[-1] in SAMPLES else "YX"
    return UNNAMED[: len(lengths) - len(inner)] + inner
