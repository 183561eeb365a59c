"""The frame of a plot that is drawn with Pillow: ticks, and where values lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

GRID = "#dddddd"


@dataclass(frozen=True)
class Plot:
    """Where values lie in a picture.

    Attributes
    ----------
    left, top, right, bottom : edges of the plot, in pixels
    x, y : smallest and largest value along each axis
    """

    left: float
    top: float
    right: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            self.left + across * (self.right - self.left),
            self.bottom - up * (self.bottom - self.top),
        )

    def draw_ticks(
        self,
        draw: ImageDraw.ImageDraw,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        x: Mapping[float, str],
        y: Mapping[float, str],
    ) -> None:
        """Write labels beside values of either axis, with a line across for those of y."""
        for value, label in y.items():
            _, row = self.place(self.x[0], value)
            draw.line((self.left, row, self.right, row), fill=GRID)
            draw.text((self.left - 6, row), label, fill="black", font=font, anchor="rm")
        for value, label in x.items():
            column, _ = self.place(value, self.y[0])
            draw.text((column, self.bottom + 8), label, fill="black", font=font, anchor="mt")


def round_ticks(lowest: float, highest: float, most: int = 6) -> dict[float, str]:
    """Round numbers from one value to another, and their labels."""
    step = 10.0 ** math.floor(math.log10((highest - lowest) / most))
    step *= next(one for one in (1, 2, 5, 10) if (highest - lowest) / (one * step) <= most)
    first, last = math.ceil(lowest / step), math.floor(highest / step)
    return {number * step: f"{number * step:.6g}" for number in range(first, last + 1)}
