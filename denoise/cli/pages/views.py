"""What a page shows of an image: before, after and further views, all of one size.

Large images are shown in part, at full resolution, and as a whole, reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denoise.cli.file_noise import scale_of
from denoise.cli.residual import residual
from denoise.files.image_file import ImageFile
from denoise.files.samples import to_8bit
from denoise.pictures import sharpest_part
from denoise.results import DenoiseResult
from denoise.views import (
    ToneCurve,
    Turn,
    as_png,
    residual_limit,
    residual_view,
    tone_curve,
    uncertainty_view,
)

# Above so many pixels a page shows a part, at most so wide and high, and a reduced whole.
MOST_PIXELS = 2_000_000
PART = 1024
# Sides of the small pictures of an index.
THUMBNAIL = 96
# Pages are handed on: small rather than made quickly.
COMPRESSION = 6


class View(NamedTuple):
    """A picture and what it says; `name` is one of the viewer's modes."""

    name: str
    caption: str
    picture: NDArray[np.uint8]
    icc_profile: bytes = b""

    @property
    def png(self) -> bytes:
        return as_png(self.picture, self.icc_profile, COMPRESSION)


@dataclass(frozen=True)
class Views:
    """Views of one size, in pixels of their own, and what part of the image they show."""

    title: str
    views: tuple[View, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.views[0].picture.shape[:2]
        return width, height


def all_views(
    noisy: ImageFile,
    denoised: ImageFile,
    reference: ImageFile | None,
    result: DenoiseResult | None,
) -> list[Views]:
    """What there is to see, as the file says that it is turned; the first is at full resolution.

    Parameters
    ----------
    denoised : as written
    result : None if there was nothing to remove
    """
    uncertainty = None if result is None else result.uncertainty
    views = [
        *_pictures(noisy, denoised, reference),
        *_looks_inside(noisy, denoised, uncertainty),
    ]
    height, width = views[0].picture.shape[:2]
    return [Views("", tuple(views))] if height * width <= MOST_PIXELS else _part_and_whole(views)


def thumbnails(views: Sequence[Views]) -> list[bytes]:
    """PNG files: the result as a whole, and the sharpest part of it before and after."""
    before, after = (view.picture for view in views[0].views[:2])
    whole = views[-1].views[1].picture
    side = min(THUMBNAIL, *before.shape[:2])
    top, left = sharpest_part(_gray(after), side, side)
    parts = [one[top : top + side, left : left + side] for one in (before, after)]
    profile = views[0].views[0].icc_profile
    small = _reduced(whole, THUMBNAIL / max(whole.shape[:2]))
    return [as_png(one, profile, COMPRESSION) for one in (small, *parts)]


def _pictures(noisy: ImageFile, denoised: ImageFile, reference: ImageFile | None) -> list[View]:
    """By the tone curve of the noisy image, so that they can be compared."""
    curve, turn = tone_curve(noisy), Turn(noisy)
    scale = scale_of(noisy)
    stretched = curve != ToneCurve(0.0, 255.0)
    tones = f" Black is {curve.black:.4g}, white {curve.white:.4g}{scale}." if stretched else ""
    images = [("before", "Before: the noisy image.", noisy)]
    images += [("after", "After: the denoised image.", denoised)]
    images += [] if reference is None else [("reference", "The clean reference.", reference)]
    profile = noisy.metadata.icc_profile
    return [
        View(name, caption + tones, turn.upright(curve.shown(image.pixels)), profile)
        for name, caption, image in images
    ]


def _looks_inside(
    noisy: ImageFile, denoised: ImageFile, uncertainty: NDArray[np.float32] | None
) -> list[View]:
    """What was removed and, if it is known, the uncertainty."""
    turn, scale = Turn(noisy), scale_of(noisy)
    removed = residual(noisy, denoised)
    limit = residual_limit(removed)
    caption = (
        f"What was removed: gray where nothing was, white where {limit:.3g}{scale} was, black where"
        " as much was added. It should look like nothing but noise."
    )
    views = [View("residual", caption, turn.upright(to_8bit(residual_view(removed, limit))))]
    if uncertainty is not None:
        largest = float(uncertainty.max())
        caption = (
            "The model's standard deviation of every pixel: black is 0, white"
            f" {largest:.3g}{scale}."
        )
        shown = turn.upright(to_8bit(uncertainty_view(uncertainty)))
        views.append(View("uncertainty", caption, shown))
    return views


def _part_and_whole(views: Sequence[View]) -> list[Views]:
    height, width = views[0].picture.shape[:2]
    factor = min(1.0, (PART**2 / (height * width)) ** 0.5)
    whole = [
        one._replace(
            picture=_reduced(one.picture, factor),
            caption=f"{one.caption} It is reduced, which averages noise away.",
        )
        for one in views
        if one.name in ("before", "after", "reference")
    ]
    rows, columns = min(PART, height), min(PART, width)
    found = sharpest_part(
        _gray(whole[1].picture), max(int(rows * factor), 1), max(int(columns * factor), 1)
    )
    top = min(round(found[0] / factor), height - rows)
    left = min(round(found[1] / factor), width - columns)
    part = [
        one._replace(picture=one.picture[top : top + rows, left : left + columns]) for one in views
    ]
    small = whole[0].picture.shape
    return [
        Views(f"{columns}×{rows} pixels from row {top}, column {left}", tuple(part)),
        Views(f"whole, reduced to {small[1]}×{small[0]}", tuple(whole)),
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
