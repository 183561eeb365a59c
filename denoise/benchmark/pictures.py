"""The benchmark in pictures: quality over time, and crops of what the methods make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise.benchmark.datasets import CleanImage
from denoise.benchmark.protocol import Damage
from denoise.benchmark.runner import Cell, kept_name
from denoise.benchmark.tables import mean_quality
from denoise.files.images import read_image
from denoise.pictures.comparison import GAP, most_detailed, side_by_side
from denoise.pictures.plot import Plot

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 64, 110, 36, 52
COLOURS = {"ours": "#d62728", "vae": "#1f77b4", "network": "#2ca02c", "classic": "#555555"}
LEAST_SECONDS = 1e-3
# A label goes to the left of its point if another point lies within this distance to its right,
# in pixels.
LABEL_WIDTH, LABEL_HEIGHT = 70, 12
# The contact sheet shows the first images, this many, with this many panels in a row.
SHEET_IMAGES, SHEET_COLUMNS = 2, 6


def quality_over_time(cells: Sequence[Cell], damage: Damage, caption: str) -> NDArray[np.uint8]:
    """One point per method: mean PSNR over the median of the seconds, on a logarithmic axis.

    Methods that failed on an image are left out, and so is the noisy input.

    Parameters
    ----------
    caption : conditions, written at the bottom

    Returns
    -------
    (height, width, 3) uint8
    """
    points = []
    for method in dict.fromkeys(cell.method for cell in cells if cell.method != "noisy"):
        chosen = [cell for cell in cells if (cell.method, cell.damage) == (method, damage)]
        quality = mean_quality(chosen)
        if quality is not None:
            points.append((method, chosen[0].kind, quality[0], max(quality[1], LEAST_SECONDS)))
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    draw.text((LEFT, 10), f"mean PSNR (dB) over seconds, {damage.name}", "black", font)
    draw.text((10, HEIGHT - 18), caption, "#777777", ImageFont.load_default(10))
    if not points:
        return np.asarray(canvas)
    lowest = math.floor(min(point[2] for point in points))
    highest = math.ceil(max(point[2] for point in points))
    first = math.floor(math.log10(min(point[3] for point in points)))
    last = max(math.ceil(math.log10(max(point[3] for point in points))), first + 1)

    limits = (first, last), (lowest, max(highest, lowest + 1))
    plot = Plot(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM, *limits)
    plot.draw_ticks(
        draw,
        font,
        {exponent: f"{10.0**exponent:g} s" for exponent in range(first, last + 1)},
        {level: str(level) for level in range(lowest, highest + 1)},
    )
    places = [plot.place(math.log10(seconds), decibels) for _, _, decibels, seconds in points]
    for (method, kind, _, _), (x, y) in zip(points, places, strict=True):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=COLOURS[kind])
        crowded = any(
            0 < other_x - x < LABEL_WIDTH and abs(other_y - y) < LABEL_HEIGHT
            for other_x, other_y in places
        )
        side, anchor = (-7, "rm") if crowded else (7, "lm")
        draw.text((x + side, y), method, COLOURS[kind], font, anchor=anchor)
    return np.asarray(canvas)


def contact_sheet(
    images: Sequence[CleanImage], cells: Sequence[Cell], folder: Path, damage: Damage
) -> NDArray[np.uint8]:
    """The most detailed part of each image, clean and as each method leaves it.

    Parameters
    ----------
    images, cells : of the benchmark
    folder : where its images were kept

    Returns
    -------
    (height, width, 3) uint8
    """
    rows = []
    for image in images[:SHEET_IMAGES]:
        panels = _panels(image, cells, folder, damage)
        rows += [
            side_by_side(panels[start : start + SHEET_COLUMNS])
            for start in range(0, len(panels), SHEET_COLUMNS)
        ]
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate(padded)


def _panels(
    image: CleanImage, cells: Sequence[Cell], folder: Path, damage: Damage
) -> list[tuple[str, NDArray[np.float32]]]:
    """One image of the sheet, methods from worst to best."""
    top, left, side = most_detailed(image.pixels) or (0, 0, min(image.pixels.shape[:2]))
    square = (slice(top, top + side), slice(left, left + side))
    chosen = [
        cell
        for cell in cells
        if (cell.image, cell.damage, cell.repeat) == (image.name, damage, 0)
        and cell.psnr is not None
    ]
    panels = [(f"{image.name}, clean", image.pixels[square])]
    for cell in sorted(chosen, key=lambda cell: cell.psnr or 0):
        if not (folder / kept_name(cell)).exists():  # of a run that kept no images
            continue
        pixels = read_image(folder / kept_name(cell)).pixels
        panels.append((f"{cell.method}, {cell.psnr:.2f} dB", pixels[square]))
    return panels
