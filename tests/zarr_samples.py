"""Small OME-Zarr images, as the library zarr writes them, and copies of them by denoise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from image_samples import random_samples

from denoise.files.images import read_image, write_image
from denoise.files.outputs import atomic_folder
from denoise.files.series import SeriesWriter, open_series, series_format

# What a user wrote there, and a viewer.
OWN = {"experiment": {"laser": 488, "notes": ["bleached", "ä"]}}
OMERO = {
    "channels": [
        {"label": "DAPI", "color": "0000FF", "window": {"min": 0, "max": 255, "start": 3, "end": 9}}
    ]
}
# The shape and the axes of `stack`.
STACK = ((3, 24, 32), "tyx")


def write_ome_zarr(
    path: Path,
    array: np.ndarray,
    axes: str,
    *,
    version: int = 2,
    levels: tuple[tuple[int, ...], ...] = (),
    **options: Any,
) -> zarr.Group:
    """An image of NGFF 0.4 (version 2 of Zarr) or 0.5 (version 3).

    Parameters
    ----------
    levels : shapes of all levels but the first, which hold nothing that is true
    options : of `zarr.Group.create_array`, for level 0; others have chunks of its size at most
    """
    group = zarr.open_group(path, mode="w", zarr_format=version)
    options = {"chunks": (*(1,) * (array.ndim - 2), 16, 16), **options}
    for number, shape in enumerate((array.shape, *levels)):
        level = group.create_array(f"s{number}", shape=shape, dtype=array.dtype, **options)
        level[...] = array if not number else 1
        level.attrs["of"] = number
    scales = [[1.0, *(2.0**number,) * (array.ndim - 1)] for number in range(len(levels) + 1)]
    image = {
        "name": "cells",
        "axes": [{"name": one, "unit": f"unit of {one}"} for one in axes],
        "datasets": [
            {
                "path": f"s{number}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": scale},
                ],
            }
            for number, scale in enumerate(scales)
        ],
    }
    if version == 2:
        group.attrs.put({"multiscales": [{**image, "version": "0.4"}], "omero": OMERO, **OWN})
    else:
        ome = {"version": "0.5", "multiscales": [image], "omero": OMERO}
        group.attrs.put({"ome": ome, **OWN})
    return group


def metadata_files(path: Path) -> dict[str, bytes]:
    """All files of a folder that are no chunks."""
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in path.rglob("*")
        if one.name.startswith((".z", "zarr.json"))
    }


def copy(source: str, target: str, *, axes: str | None = None, strip: bool = False) -> None:
    """Read and write all images of a folder, as they are."""
    path = Path(target)
    with open_series(Path(source), axes=axes) as series:
        if series is None:
            image = read_image(Path(source))
            write_image(path, image.pixels, like=image, strip=strip, overwrite=True)
            return
        form = series_format(path, series.like)
        with atomic_folder(path) as folder:
            writer = SeriesWriter(folder, form, series.stored_axes, strip=strip)
            for number in range(len(series)):
                writer.write(series.read(number))


def stack(name: str = "in.zarr", sample_type: str = "uint16", **options: object) -> np.ndarray:
    array = random_samples(sample_type, STACK[0])
    write_ome_zarr(Path(name), array, STACK[1], levels=((3, 12, 16),), **options)
    return array
