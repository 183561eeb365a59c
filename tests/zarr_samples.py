"""Small OME-Zarr images, as the library zarr writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

# What a user wrote there, and a viewer.
OWN = {"experiment": {"laser": 488, "notes": ["bleached", "ä"]}}
OMERO = {
    "channels": [
        {"label": "DAPI", "color": "0000FF", "window": {"min": 0, "max": 255, "start": 3, "end": 9}}
    ]
}


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
