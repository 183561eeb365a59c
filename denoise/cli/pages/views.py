"""What fits on a page: small images whole, large ones in part and as a whole, reduced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denoise.cli.shown import View
from denoise.pictures.comparison import sharpest_part
from denoise.pictures.views import as_png

# Of an image of more pixels, a page shows a part of at most this side, and a reduced whole.
MOST_PIXELS = 2_000_000
PART = 1024
# Sides of the small pictures of an index.
THUMBNAIL = 96
# Pages are handed on: small rather than made quickly.
COMPRESSION = 6


@dataclass(frozen=True)
class Views:
    """Views of one size, in pixels of their own, and what part of the image they show."""

    title: str
    views: Mapping[str, View]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.views["before"].picture.shape[:2]
        return width, height


def fitted(views: Mapping[str, View]) -> list[Views]:
    """Views of one size, by name, as they fit on a page; the first are at full resolution."""
    height, width = views["before"].picture.shape[:2]
    return [Views("", views)] if height * width <= MOST_PIXELS else _part_and_whole(views)


def thumbnails(views: Sequence[Views]) -> list[bytes]:
    """PNG files: the result as a whole, and the sharpest part of it before and after."""
    before, after = (views[0].views[name].picture for name in ("before", "after"))
    whole = views[-1].views["after"].picture
    side = min(THUMBNAIL, *before.shape[:2])
    top, left = sharpest_part(_gray(after), side, side)
    parts = [one[top : top + side, left : left + side] for one in (before, after)]
    profile = views[0].views["before"].icc_profile
    small = _reduced(whole, THUMBNAIL / max(whole.shape[:2]))
    return [as_png(one, profile, COMPRESSION) for one in (small, *parts)]


def _part_and_whole(views: Mapping[str, View]) -> list[Views]:
    height, width = views["before"].picture.shape[:2]
    factor = min(1.0, (PART**2 / (height * width)) ** 0.5)
    whole = {
        name: one._replace(
            picture=_reduced(one.picture, factor),
            caption=f"{one.caption} It is reduced, which averages noise away.",
        )
        for name, one in views.items()
        if name in ("before", "after", "reference")
    }
    rows, columns = min(PART, height), min(PART, width)
    found = sharpest_part(
        _gray(whole["after"].picture), max(int(rows * factor), 1), max(int(columns * factor), 1)
    )
    top = min(round(found[0] / factor), height - rows)
    left = min(round(found[1] / factor), width - columns)
    part = {
        name: one._replace(picture=one.picture[top : top + rows, left : left + columns])
        for name, one in views.items()
    }
    small = whole["after"].picture.shape
    return [
        Views(f"{columns}×{rows} pixels from row {top}, column {left}", part),
        Views(f"whole, reduced to {small[1]}×{small[0]}", whole),
    ]


def _reduced(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor >= 1:
        return picture
    height, width = (max(round(side * factor), 1) for side in picture.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _gray(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    pixels = picture.astype(np.float32)
    return pixels if pixels.ndim == 2 else pixels.mean(2)
