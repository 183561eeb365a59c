"""Writing an OME-Zarr image that differs from another one only in the numbers of its levels.

Metadata are copied file by file, so that chunks, shards, compression, attributes and whatever else
lies in the folder, such as labels, are those of the source.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoise.errors import ImageError
from denoise.files.array_shape import ArrayShape, array_shape
from denoise.files.arrays import ArrayWriter
from denoise.files.bytes import ZARR
from denoise.files.image_file import Metadata, ZarrLayout
from denoise.files.pages import Axes
from denoise.files.zarr_image import ZarrImage, ome_attributes, open_zarr

if TYPE_CHECKING:
    import zarr

# Attributes that make a folder an image.
ESSENTIAL = ("version", "multiscales")
# A file that repeats the metadata of all that lies in a folder.
CONSOLIDATED = ".zmetadata"


class ZarrWriter(ArrayWriter):
    """Writes the images of level 0 in the order of their source, and then all other levels.

    Parameters
    ----------
    folder : new and empty
    """

    def __init__(self, folder: Path, axes: Axes) -> None:
        super().__init__(axes)
        self._folder = folder

    def _letters(self, metadata: Metadata) -> str:
        return metadata.zarr.axes

    def _begin(
        self, image: tuple[int, ...], dtype: np.dtype[Any], metadata: Metadata
    ) -> ArrayShape:
        self._image = _empty_copy(metadata.zarr, self._folder)
        return array_shape(self._image.levels[0].shape, self._image.axes, metadata.zarr.axes)

    def _put(self, stored: NDArray[Any], number: int, rows: slice) -> None:
        assert self._shape is not None
        self._image.levels[0][self._shape.index(number, rows)] = stored

    def _end(self, metadata: Metadata) -> None:
        finest, *others = self._image.levels
        for level, factors in zip(others, self._image.factors, strict=True):
            _average(finest, level, factors, self._image.axes)


def _empty_copy(layout: ZarrLayout, folder: Path) -> ZarrImage:
    """An image like that of a folder, without its numbers."""
    source = layout.folder
    assert source is not None
    if source.resolve() in folder.resolve().parents:
        raise ImageError("lies in the folder of its source; give another name")
    levels = {source / level.path for level in open_zarr(source, "r").levels}
    for parent, folders, files in os.walk(source):
        is_level = Path(parent) in levels
        place = folder / Path(parent).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in files:
            if name in ZARR or (not is_level and not (layout.bare and name == CONSOLIDATED)):
                shutil.copyfile(Path(parent) / name, place / name)
        if is_level:
            folders.clear()  # of chunks
    image = open_zarr(folder, "r+")
    if layout.bare:
        _strip(image.group)
    return image


def _strip(group: zarr.Group) -> None:
    attributes: dict[str, Any] = group.attrs.asdict()
    described = ome_attributes(attributes)
    kept = {name: described[name] for name in ESSENTIAL if name in described}
    group.attrs.put({"ome": kept} if "ome" in attributes else kept)


def _average(
    finest: zarr.Array[Any], level: zarr.Array[Any], factors: tuple[int, ...], axes: str
) -> None:
    """Fill a level with the means of the blocks of level 0, a chunk of an image at a time."""
    chunks = level.shards or level.chunks
    sizes = np.where([axis in "YX" for axis in axes], chunks, 1)
    for place in np.ndindex(*-(-np.array(level.shape) // sizes)):
        starts = np.array(place) * sizes
        stops = np.minimum(starts + sizes, level.shape)
        block = tuple(map(slice, starts * factors, stops * factors))
        means = block_means(np.asarray(finest[block]), factors, tuple(stops - starts))
        values = np.rint(means) if level.dtype.kind in "iu" else means
        level[tuple(map(slice, starts, stops))] = values.astype(level.dtype)


def block_means(
    array: NDArray[Any], factors: tuple[int, ...], lengths: tuple[int, ...]
) -> NDArray[np.float64]:
    """The mean of each block of an array.

    Parameters
    ----------
    factors : size of a block along each axis; the last one may be smaller
    lengths : how many blocks along each axis; what lies behind them is left out

    Returns
    -------
    array of shape `lengths`
    """
    means = array.astype(np.float64)
    for axis, (factor, length) in enumerate(zip(factors, lengths, strict=True)):
        inside = means.take(range(min(factor * length, means.shape[axis])), axis)
        starts = np.arange(length) * factor
        counts = np.diff(starts, append=inside.shape[axis])
        sums = np.add.reduceat(inside, starts, axis)
        means = sums / np.expand_dims(counts, tuple(range(1, means.ndim - axis)))
    return means
