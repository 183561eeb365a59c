"""Pictures of a result: images side by side, curves of the ELBO."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise.files.image_file import ImageFile
from denoise.files.samples import PEAK, to_8bit
from denoise.metrics import Quality
from denoise.pictures.plot import Plot
from denoise.vae.learned import LearnedVAE

CAPTION_HEIGHT, GAP = 24, 8
# Panels are shrunk to at most this size, or enlarged by a whole factor to at least that one.
MOST_WIDTH, MOST_HEIGHT, LEAST_WIDTH = 640, 960, 256
# Side of the square that is shown enlarged, as a share of the image, and its bounds in pixels.
ZOOM_SHARE, ZOOM_BOUNDS = 0.2, (32, 96)
FRAME = "#e02020"
# Least range of the values of a float image that is shown.
LEAST_RANGE = 1e-30
# Differences are shown this many times as large, around middle gray.
DIFFERENCE_GAIN = 2
# The plot of the ELBO, its margins in pixels, and the number of ticks on each axis.
PLOT_WIDTH, PLOT_HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 44
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
TICKS = 5


def comparison(
    noisy: ImageFile, denoised: ImageFile, reference: ImageFile | None, quality: Quality | None
) -> NDArray[np.uint8]:
    """One picture of a result: captioned panels, and the most detailed part of each enlarged.

    Noisy, denoised, clean reference and error; without a reference noisy, denoised and what was
    removed, which should look like nothing but noise. Floats are stretched so that the denoised
    ones fill the range from black to white.

    Returns
    -------
    (height', width', 3) uint8
    """
    panels = captioned_panels(noisy, denoised, reference, quality)
    return side_by_side(panels, zoom=most_detailed(panels[1][1]))


def captioned_panels(
    noisy: ImageFile, denoised: ImageFile, reference: ImageFile | None, quality: Quality | None
) -> list[tuple[str, NDArray[np.float32]]]:
    """Captions and images on 0..255; see `comparison`."""
    low, high = 0.0, PEAK
    if noisy.is_float:
        values = denoised.pixels[denoised.picture]
        low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))

    def shown(image: ImageFile) -> NDArray[np.float32]:
        scale = PEAK / max(high - low, LEAST_RANGE)
        scaled: NDArray[np.float32] = (image.pixels - low) * np.float32(scale)
        return np.nan_to_num(scaled)

    before, after = shown(noisy), shown(denoised)
    if reference is None or quality is None:
        panels = [("noisy", before), ("denoised", after)]
        return [*panels, (f"removed, x{DIFFERENCE_GAIN}", _difference(before, after))]
    clean = shown(reference)
    return [
        ("noisy" + _numbers(quality.psnr_noisy, quality.ssim_noisy), before),
        ("denoised" + _numbers(quality.psnr, quality.ssim), after),
        ("clean reference", clean),
        (f"error, x{DIFFERENCE_GAIN}", _difference(after, clean)),
    ]


def _numbers(decibels: float, similarity: float | None) -> str:
    """What follows a caption; nothing where all that is known equals the reference."""
    if math.isinf(decibels):
        return ""
    return f", {decibels:.2f} dB" + ("" if similarity is None else f", SSIM {similarity:.3f}")


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return PEAK / 2 + DIFFERENCE_GAIN * (first - second)


def most_detailed(pixels: NDArray[np.float32]) -> tuple[int, int, int] | None:
    """Top, left and side of the square with the largest gradients; None in small images."""
    gray = pixels if pixels.ndim == 2 else pixels.mean(2)
    side = min(max(round(ZOOM_SHARE * min(gray.shape)), ZOOM_BOUNDS[0]), ZOOM_BOUNDS[1])
    if min(gray.shape) < 1.5 * side:
        return None
    return *sharpest_part(gray, side, side), side


def sharpest_part(gray: NDArray[np.floating], height: int, width: int) -> tuple[int, int]:
    """Top and left of the part of that size with the largest gradients of a (rows, columns)."""
    rise = np.zeros(gray.shape, np.float64)
    rise[1:] += np.abs(np.diff(gray, axis=0))
    rise[:, 1:] += np.abs(np.diff(gray, axis=1))
    sums = np.pad(rise.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    below = sums[height:] - sums[:-height]
    parts = below[:, width:] - below[:, :-width]
    top, left = np.unravel_index(int(parts.argmax()), parts.shape)
    return int(top), int(left)


def side_by_side(
    panels: Sequence[tuple[str, NDArray[np.float32]]], *, zoom: tuple[int, int, int] | None = None
) -> NDArray[np.uint8]:
    """Set images of one size in a row, each under its caption.

    Parameters
    ----------
    panels : (caption, image) pairs; images (height, width) or (height, width, 3), 0..255
    zoom : top, left and side of a square that is framed, and enlarged below each image

    Returns
    -------
    (height', width', 3) uint8
    """
    height, width = panels[0][1].shape[:2]
    factor = min(float(-(-LEAST_WIDTH // width)), MOST_WIDTH / width, MOST_HEIGHT / height)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    columns = len(panels) * (size[0] + GAP) - GAP
    rows = CAPTION_HEIGHT + size[1] + (0 if zoom is None else GAP + size[0])
    canvas = Image.new("RGB", (columns, rows), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for number, (caption, pixels) in enumerate(panels):
        left = number * (size[0] + GAP)
        draw.text((left + 2, 3), caption, fill="black", font=font)
        picture = Image.fromarray(to_8bit(pixels))
        way = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
        canvas.paste(picture.resize(size, way), (left, CAPTION_HEIGHT))
        if zoom is not None:
            y, x, side = zoom
            corners = [
                left + x * factor,
                y * factor,
                left + (x + side) * factor,
                (y + side) * factor,
            ]
            corners[1] += CAPTION_HEIGHT
            corners[3] += CAPTION_HEIGHT
            draw.rectangle(corners, outline=FRAME)
            part = picture.crop((x, y, x + side, y + side))
            below = (left, CAPTION_HEIGHT + size[1] + GAP)
            canvas.paste(part.resize((size[0], size[0]), Image.Resampling.NEAREST), below)
    return np.asarray(canvas)


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
    canvas = Image.new("RGB", (PLOT_WIDTH, PLOT_HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    draw.text((LEFT, 8), "ELBO per pixel value (nats) over epochs", fill="black", font=font)
    curves = [_per_value(vae) for vae in models]
    values = [value for curve in curves for value in curve]
    if not values:
        draw.text((LEFT, PLOT_HEIGHT // 2), "the model was loaded, not learned", "black", font)
        return np.asarray(canvas)
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    last = max(max(len(curve) for curve in curves), 2)
    plot = Plot(LEFT, TOP, PLOT_WIDTH - RIGHT, PLOT_HEIGHT - BOTTOM, (1, last), (low, high))
    epochs = np.unique(np.linspace(1, last, min(last, 10)).round())
    plot.draw_ticks(
        draw,
        font,
        {epoch: f"{epoch:.0f}" for epoch in epochs},
        {value: f"{value:.2f}" for value in np.linspace(low, high, TICKS)},
    )
    for number, (vae, curve) in enumerate(zip(models, curves, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        points = [plot.place(epoch, value) for epoch, value in enumerate(curve, start=1)]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        name = f"{vae.patch_size}x{vae.patch_size} patches"
        corner = (PLOT_WIDTH - RIGHT, PLOT_HEIGHT - BOTTOM - 18 * (len(models) - number))
        draw.text(corner, name, fill=colour, font=font, anchor="rm")
    return np.asarray(canvas)


def _per_value(vae: LearnedVAE) -> list[float]:
    values = vae.patch_size**2 * vae.channels
    return [stats.elbo / values for stats in vae.history]
