"""A picture of noise: its strength over brightness, and the correlation of neighbouring pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from denoise.noise.interface import Noise
from denoise.noise.pixels import ordinary_range
from denoise.pictures.plot import Plot, round_ticks

WIDTH, HEIGHT = 700, 330
# Left edge, top, right edge and bottom of the plot; left edge of the tile; baseline of the axis.
PLOT, TILE_LEFT = (64, 70, 430, 276), 468
# Offsets that the tile shows on each side, and the size of a cell, in pixels.
REACH, CELL = 4, 23
CURVES = {1: ("#1f77b4",), 3: ("#d62728", "#2ca02c", "#1f77b4")}
POSITIVE, NEGATIVE, PIXELS = "#1f77b4", "#d62728", "#ececec"
# Smaller correlations are not written into their cells.
WRITTEN = 0.05
BINS, POINTS = 51, 200
# Channels whose sigma differs by less than this share have one curve.
ALIKE = 0.05
# The curve of sigma, and the histogram, fill these shares of the height of the plot.
ROOM, HISTOGRAM_ROOM = 0.85, 0.6


def draw_noise(noise: Noise, pixels: NDArray[np.float64], scale: str = "") -> NDArray[np.uint8]:
    """Standard deviation over brightness beside the correlation of neighbouring pixels.

    Parameters
    ----------
    pixels : (height, width, C) of the noisy image, NaN where it is no picture; how many have which
        brightness is drawn in gray
    scale : a remark on their units for the caption, see `Noise.summary`

    Returns
    -------
    (height', width', 3) uint8
    """
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((16, 12), noise.summary(scale), "black", _font(16))
    _draw_levels(draw, noise, pixels)
    _draw_correlation(draw, noise.correlation)
    return np.asarray(canvas)


def _draw_levels(draw: ImageDraw.ImageDraw, noise: Noise, pixels: NDArray[np.float64]) -> None:
    """Sigma of each channel over brightness, or one curve where channels are alike."""
    font = _font(13)
    lowest, highest = ordinary_range(pixels)
    values = np.linspace(lowest, highest, POINTS)
    sigmas = np.sqrt(noise.variance(np.repeat(values[:, None], pixels.shape[2], axis=1)))
    if np.allclose(sigmas, sigmas[:, :1], rtol=ALIKE):
        sigmas = sigmas.mean(1, keepdims=True)
    plot = Plot(*PLOT, (lowest, highest), (0.0, float(sigmas.max()) / ROOM))
    counts, edges = np.histogram(pixels[np.isfinite(pixels)], BINS, (lowest, highest))
    heights = counts / counts.max() * plot.y[1] * HISTOGRAM_ROOM
    for start, end, height in zip(edges[:-1], edges[1:], heights, strict=True):
        draw.rectangle((*plot.place(start, height), *plot.place(end, 0)), fill=PIXELS)
    plot.draw_ticks(draw, font, round_ticks(*plot.x), round_ticks(*plot.y))
    for curve, colour in zip(sigmas.T, CURVES[sigmas.shape[1]], strict=True):
        points = [plot.place(*point) for point in zip(values, curve, strict=True)]
        draw.line(points, fill=colour, width=3, joint="curve")
    draw.text((plot.left, plot.top - 24), "sigma over brightness", "black", font)
    draw.text((plot.right, plot.top - 24), "gray: number of pixels", "#999999", font, anchor="ra")


def _draw_correlation(draw: ImageDraw.ImageDraw, correlation: NDArray[np.float64]) -> None:
    """A cell for each offset, the pixel itself in the middle."""
    draw.text((TILE_LEFT, PLOT[1] - 24), "correlation of neighbours", "black", _font(13))
    for row in range(-REACH, REACH + 1):
        for column in range(-REACH, REACH + 1):
            inside = abs(row) < correlation.shape[0] and abs(column) < correlation.shape[1]
            value = float(correlation[abs(row), abs(column)]) if inside else 0.0
            left = TILE_LEFT + (column + REACH) * CELL
            top = PLOT[1] + (row + REACH) * CELL
            box = (left, top, left + CELL, top + CELL)
            draw.rectangle(box, fill=_shade(value), outline="#dddddd")
            if abs(value) >= WRITTEN:
                text = f"{value:.1f}" if abs(value) == 1 else f"{value:.2f}".replace("0.", ".")
                middle = (left + CELL / 2, top + CELL / 2)
                ink = "white" if abs(value) > 0.5 else "black"
                draw.text(middle, text, ink, _font(10), anchor="mm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shade(value: float) -> tuple[int, ...]:
    """A colour for a correlation: white for 0, a full colour for 1 and for -1."""
    colour = ImageColor.getrgb(POSITIVE if value > 0 else NEGATIVE)
    return tuple(round(255 + min(abs(value), 1) * (part - 255)) for part in colour)
