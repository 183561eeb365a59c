"""Writing an OME-Zarr image like another one: other numbers on all levels, all else as it is there.

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
from denoise.files.arrays import ArrayShape, array_shape, joined
from denoise.files.bytes import ZARR
from denoise.files.image_file import Metadata, ZarrLayout
from denoise.files.pages import Axes
from denoise.files.zarr_image import ZarrImage, ome_attributes, open_zarr

if TYPE_CHECKING:
    import zarr

# Attributes that make a folder an image.
ESSENTIAL = ("version", "multiscales")
# All metadata of a folder and what lies in it, once more in one file.
CONSOLIDATED = ".zmetadata"


def encode(samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> bytes:
    """Refuse to make bytes of a folder; see `Format.encode`."""
    raise ImageError("OME-Zarr is a folder; give it a name")


class ZarrWriter:
    """Writes the images of level 0, one after the other, and then all other levels.

    Parameters
    ----------
    folder : new and empty
    axes : along which all images will lie
    """

    def __init__(self, folder: Path, axes: Axes) -> None:
        self._folder = folder
        self._image: ZarrImage | None = None
        self._written = 0

    def write(self, samples: NDArray[Any], alpha: NDArray[Any] | None, metadata: Metadata) -> None:
        """Append an image of the source (`Metadata.zarr`), in the source's order."""
        layout = metadata.zarr
        if self._image is None:
            self._image = _empty_copy(layout, self._folder)
            self._shape: ArrayShape = array_shape(
                self._image.levels[0].shape, self._image.axes, layout.axes
            )
        image = self._shape.as_stored(joined(samples, alpha, layout.axes))
        self._image.levels[0][self._shape.index(self._written)] = image
        self._written += 1
        if self._written == len(self._shape):
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
    """Fill a level with the means of the blocks of level 0, one image at a time."""
    images = [1 if axis in "YX" else length for axis, length in zip(axes, level.shape, strict=True)]
    for place in np.ndindex(*images):
        block, mean = (
            tuple(
                slice(None) if axis in "YX" else slice(at * length, (at + 1) * length)
                for axis, at, length in zip(axes, place, lengths, strict=True)
            )
            for lengths in (factors, (1,) * len(axes))
        )
        lengths = np.where([axis in "YX" for axis in axes], level.shape, 1)
        means = block_means(np.asarray(finest[block]), factors, tuple(lengths))
        level[mean] = (np.rint(means) if level.dtype.kind in "iu" else means).astype(level.dtype)


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
