"""The images of level 0 of an OME-Zarr image, read one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from denoise.files.arrays import ArrayPages, array_shape, check_axes
from denoise.files.image_file import Decoded, Metadata, ZarrLayout
from denoise.files.limits import refused_type
from denoise.files.pages import decode_frame
from denoise.files.samples import SAMPLE_TYPES, split_alpha
from denoise.files.zarr_chunks import check_chunks
from denoise.files.zarr_image import open_zarr


def decode(folder: Path, frame: int | None, max_pixels: int) -> Decoded:
    """Samples of one image; see `Format.decode`."""
    with ZarrPages(folder) as pages:
        return decode_frame(pages, frame, max_pixels)


class ZarrPages(ArrayPages):
    """The images of an OME-Zarr image along T, C and Z; see `files.pages.Pages`.

    Parameters
    ----------
    axes : letters of all axes, by the user; see `array_shape`

    Raises
    ------
    ImageError
        If it is none that can be denoised, or it has other axes.
    """

    def __init__(self, folder: Path, axes: str | None = None) -> None:
        self._folder = folder
        image = open_zarr(folder, "r")
        self._level = image.levels[0]
        if self._level.dtype.name not in SAMPLE_TYPES:
            raise refused_type(8 * self._level.dtype.itemsize, self._level.dtype.name)
        check_axes(self._level.shape)
        super().__init__(array_shape(self._level.shape, image.axes, axes))

    def _array(self) -> Any:
        return self._level

    def decode(self, number: int, max_pixels: int, *, whole_file: bool) -> Decoded:
        """Image `number`, from 0; `whole_file` if all others are wanted, too.

        Raises
        ------
        ImageError
            If it is larger than `max_pixels`.
        """
        check_chunks(self._folder, self._level, self._shape.index(number))
        samples, alpha = split_alpha(self._read(number, max_pixels))
        layout = ZarrLayout(self._folder, self._shape.letters if whole_file else "")
        return Decoded(samples, alpha, Metadata(zarr=layout))
