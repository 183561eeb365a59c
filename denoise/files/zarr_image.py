"""An OME-Zarr image: a folder with the same image in several resolutions, the levels.

NGFF 0.4 lies in folders of Zarr's format 2, and 0.5 in those of format 3. The library zarr is
needed only where there is such a folder.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from denoise.errors import DamagedImageError, ImageError

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class ZarrImage:
    """An image of several levels.

    Attributes
    ----------
    group : of Zarr, which holds the levels
    levels : arrays, the finest first
    axes : a letter for each axis, as of `files.arrays`
    factors : for each level but the first, how many numbers of level 0 lie in one of its own,
        along each axis
    """

    group: zarr.Group
    levels: tuple[zarr.Array[Any], ...]
    axes: str
    factors: tuple[tuple[int, ...], ...]


def open_zarr(folder: Path, mode: Literal["r", "r+"]) -> ZarrImage:
    """Open an OME-Zarr image.

    Raises
    ------
    ImageError
        If zarr is not installed, or it is something else, such as a plate of many images.
    """
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ImageError(f"OME-Zarr needs {error.name}: pip install '.[zarr]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codecs that are not in the specification
        return _image(folder, zarr.open(folder, mode=mode))


def _image(folder: Path, group: zarr.Group | zarr.Array[Any]) -> ZarrImage:
    import zarr

    if not isinstance(group, zarr.Group):
        raise ImageError("is an array of Zarr alone; name the folder of the OME-Zarr image")
    attributes: dict[str, Any] = group.attrs.asdict()
    described = ome_attributes(attributes)
    _refuse_others(folder, described)
    image = described["multiscales"][0]
    axes = _letters(image.get("axes"))
    levels = tuple(
        _level(group, number, one["path"], axes) for number, one in enumerate(image["datasets"])
    )
    if not levels:
        raise DamagedImageError("damaged OME-Zarr image: it has no level")
    return ZarrImage(group, levels, axes, _factors(levels, axes))


def ome_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of NGFF: 0.5 keeps them in a place of their own, 0.4 among all others."""
    described: dict[str, Any] = attributes.get("ome", attributes)
    return described


def _refuse_others(folder: Path, described: dict[str, Any]) -> None:
    """Raise an ImageError for labels, several images, or none."""
    if "plate" in described:
        well = described["plate"]["wells"][0]["path"]
        raise ImageError(f"is a plate of many images; name one, such as {folder}/{well}/0")
    if "well" in described:
        field = described["well"]["images"][0]["path"]
        raise ImageError(f"is a well of many images; name one, such as {folder}/{field}")
    if "bioformats2raw.layout" in described:
        raise ImageError(f"is a collection of images; name one, such as {folder}/0")
    if "image-label" in described:
        raise ImageError("holds labels, which have no noise; name the image that they are about")
    found = len(described.get("multiscales", ()))
    if found != 1:
        raise ImageError(f"holds {found} OME-Zarr images (multiscales); name a folder of one")


def _letters(axes: Any) -> str:
    """A letter for each axis, slowest first."""
    if not axes:
        raise ImageError("does not name its axes; NGFF 0.4 and 0.5 can be read, convert it first")
    names = [one["name"] for one in axes]
    letters = "".join(names).upper()
    distinct = len(set(letters)) == len(letters) == len(names)
    if not distinct or not letters.isalpha() or not {"Y", "X"} <= set(letters) or "S" in letters:
        raise ImageError(
            f"has the axes {', '.join(names)}; those of letters can be read, with y and x, such as"
            " t, c, z, y, x"
        )
    return letters


def _level(group: zarr.Group, number: int, path: str, axes: str) -> zarr.Array[Any]:
    import zarr

    level = group.get(path)
    if not isinstance(level, zarr.Array):
        raise DamagedImageError(f"damaged OME-Zarr image: level {number} ({path}) is missing")
    if level.ndim != len(axes):
        raise DamagedImageError(
            f"damaged OME-Zarr image: level {number} ({path}) is an array of {level.ndim} axes, and"
            f" {len(axes)} are named, {axes}"
        )
    return level


def _factors(levels: tuple[zarr.Array[Any], ...], axes: str) -> tuple[tuple[int, ...], ...]:
    """See `ZarrImage.factors`; numbers at the end that fill no block are averaged, or left out."""
    factors = [(1,) * len(axes)]
    for number in range(1, len(levels)):
        fine, coarse = levels[number - 1].shape, levels[number].shape
        steps = [_step(*lengths) for lengths in zip(fine, coarse, strict=True)]
        for axis, step in zip(axes, steps, strict=True):
            if step is None:
                raise ImageError(
                    f"level {number} is {_size(coarse)}, not {_size(fine)} divided by whole"
                    f" numbers, along {axis}; make its levels anew"
                )
        factors.append(tuple(a * (b or 1) for a, b in zip(factors[-1], steps, strict=True)))
    return tuple(factors[1:])


def _step(fine: int, coarse: int) -> int | None:
    """How many of `fine` numbers form each of `coarse` ones; None if no whole number does."""
    possible = range(1, fine + 1)
    return next((step for step in possible if coarse in (fine // step, -(-fine // step))), None)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
