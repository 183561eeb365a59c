"""What there is to see of an image: the views of both pages, how each is drawn and what it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import scale_of
from denoise.cli.opened import OpenedFile
from denoise.cli.residual import residual
from denoise.files.image_file import ImageFile
from denoise.files.samples import to_8bit
from denoise.pictures.models import draw_models
from denoise.pictures.views import (
    COMPRESSION,
    ToneCurve,
    Turn,
    as_png,
    residual_limit,
    residual_view,
    tone_curve,
    uncertainty_view,
)
from denoise.pipeline.results import DenoiseResult


class View(NamedTuple):
    """A picture, as a screen shows it, and what it says."""

    caption: str
    picture: NDArray[np.uint8]
    icc_profile: bytes = b""

    def png(self, compression: int = COMPRESSION) -> bytes:
        """The bytes of a PNG file."""
        return as_png(self.picture, self.icc_profile, compression)


class Screen:
    """Shows pictures of one image alike: upright, by one tone curve, with its colour profile.

    Parameters
    ----------
    noisy : the image whose tone curve it is
    """

    def __init__(self, noisy: ImageFile) -> None:
        self.turn, self.curve = Turn(noisy), tone_curve(noisy)
        self.scale = scale_of(noisy)
        self._icc_profile = noisy.metadata.icc_profile

    def photograph(self, caption: str, pixels: NDArray[np.floating]) -> View:
        """Pixels of the image before or after."""
        if self.curve != ToneCurve(0.0, 255.0):
            black, white = self.curve
            caption += f" Black is {black:.4g}, white {white:.4g}{self.scale}."
        return View(caption, self.turn.upright(self.curve.shown(pixels)), self._icc_profile)

    def residual(self, noisy: ImageFile, denoised: ImageFile) -> View:
        """What was removed."""
        removed = residual(noisy, denoised)
        limit = residual_limit(removed)
        caption = (
            f"What was removed: gray where nothing was, white where {limit:.3g}{self.scale} was,"
            " black where as much was added. It should look like nothing but noise."
        )
        return View(caption, self.turn.upright(to_8bit(residual_view(removed, limit))))

    def uncertainty(self, deviation: NDArray[np.float32]) -> View:
        """The standard deviation of every pixel."""
        caption = (
            "The model's standard deviation of every pixel: black is 0, white"
            f" {float(deviation.max()):.3g}{self.scale}."
        )
        return View(caption, self.turn.upright(to_8bit(uncertainty_view(deviation))))


def views_of(
    screen: Screen, opened: OpenedFile, denoised: ImageFile, result: DenoiseResult | None
) -> dict[str, Callable[[], View]]:
    """What draws each view that there is, by the viewer's name of it.

    All have the size of the image but `model`, the learned patches.

    Parameters
    ----------
    result : None if there was nothing to remove
    """
    noisy, reference = opened.noisy, opened.reference
    views = {
        "before": partial(screen.photograph, "Before: the noisy image.", noisy.pixels),
        "after": partial(screen.photograph, "After: the denoised image.", denoised.pixels),
    }
    if reference is not None:
        views["reference"] = partial(screen.photograph, "The clean reference.", reference.pixels)
    views["residual"] = partial(screen.residual, noisy, denoised)
    if result is not None and result.uncertainty is not None:
        views["uncertainty"] = partial(screen.uncertainty, result.uncertainty)
    if result is not None and (result.models or result.prior is not None):
        views["model"] = partial(_learned, result)
    return dict(views)


def _learned(result: DenoiseResult) -> View:
    adds = "What each latent adds to a patch, the most used first; gray is no change. "
    drawn = "Patches drawn from the model, and the nearest ones of the result; gray is their mean."
    return View(adds * bool(result.models) + drawn, draw_models(result))
