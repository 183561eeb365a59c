"""How the ELBO of each model rose while it learned, as a table or as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise.vae.learned import LearnedVAE

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 44
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
TICKS = 5


def curve_table(models: Sequence[LearnedVAE]) -> str:
    """CSV: patch size, epoch, mean ELBO per training patch in nats, that per pixel value."""
    lines = ["patch_size,epoch,elbo,elbo_per_value"]
    for vae in models:
        for stats, per_value in zip(vae.history, _per_value(vae), strict=True):
            lines.append(f"{vae.patch_size},{stats.epoch},{stats.elbo:.6f},{per_value:.6f}")
    return "\n".join(lines) + "\n"


def draw_curves(models: Sequence[LearnedVAE]) -> NDArray[np.uint8]:
    """One line for each model: ELBO per pixel value over epochs.

    Models of different patch sizes share the axis, since the ELBO of a patch is divided by the
    number of its values.

    Returns
    -------
    (height, width, 3) uint8
    """
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    draw.text((LEFT, 8), "ELBO per pixel value (nats) over epochs", fill="black", font=font)
    curves = [_per_value(vae) for vae in models]
    values = [value for curve in curves for value in curve]
    if not values:
        draw.text((LEFT, HEIGHT // 2), "the model was loaded, not learned", "black", font)
        return np.asarray(canvas)
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    last = max(max(len(curve) for curve in curves), 2)

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = LEFT + (epoch - 1) / (last - 1) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return x, y

    for value in np.linspace(low, high, TICKS):
        (left, y), (right, _) = place(1, value), place(last, value)
        draw.line((left, y, right, y), fill="#dddddd")
        draw.text((left - 6, y), f"{value:.2f}", fill="black", font=font, anchor="rm")
    for epoch in np.unique(np.linspace(1, last, min(last, 10)).round()):
        x, y = place(epoch, low)
        draw.text((x, y + 8), f"{epoch:.0f}", fill="black", font=font, anchor="mt")
    for number, (vae, curve) in enumerate(zip(models, curves, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(epoch, value) for epoch, value in enumerate(curve, start=1)]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        name = f"{vae.patch_size}x{vae.patch_size} patches"
        corner = (WIDTH - RIGHT, HEIGHT - BOTTOM - 18 * (len(models) - number))
        draw.text(corner, name, fill=colour, font=font, anchor="rm")
    return np.asarray(canvas)


def _per_value(vae: LearnedVAE) -> list[float]:
    values = vae.patch_size**2 * vae.channels
    return [stats.elbo / values for stats in vae.history]
