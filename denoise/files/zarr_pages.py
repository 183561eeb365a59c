"""The images of level 0 of an OME-Zarr image, read one at a time, or some rows of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from denoise.files.array_shape import array_shape
from denoise.files.arrays import ArrayPages
from denoise.files.image_file import Decoded, Metadata, ZarrLayout
from denoise.files.limits import refused_type
from denoise.files.samples import SAMPLE_TYPES, split_alpha
from denoise.files.zarr_chunks import check_chunks
from denoise.files.zarr_image import open_zarr


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
        super().__init__(array_shape(self._level.shape, image.axes, axes))

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        check_chunks(self._folder, self._level, self._shape.index(number, rows))
        return self._shape.image_in(self._level, number, rows)

    def _decoded(self, image: NDArray[Any], *, whole_file: bool) -> Decoded:
        samples, alpha = split_alpha(image)
        layout = ZarrLayout(self._folder, self._shape.letters if whole_file else "")
        return Decoded(samples, alpha, Metadata(zarr=layout))
