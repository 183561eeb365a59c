"""Pictures that show a result: images side by side, with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise.images import to_8bit

CAPTION_HEIGHT = 24
GAP = 8
# Smaller images are enlarged, by a whole factor, to at least this width.
LEAST_WIDTH = 256


def side_by_side(panels: Sequence[tuple[str, NDArray[np.float32]]]) -> NDArray[np.uint8]:
    """Set images of one size in a row, each under its caption.

    Parameters
    ----------
    panels : (caption, image) pairs; images (height, width) or (height, width, 3), 0..255

    Returns
    -------
    (height', width', 3) uint8
    """
    height, width = panels[0][1].shape[:2]
    factor = -(-LEAST_WIDTH // width)
    size = (width * factor, height * factor)
    canvas = Image.new(
        "RGB",
        (len(panels) * (size[0] + GAP) - GAP, CAPTION_HEIGHT + size[1]),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for number, (caption, pixels) in enumerate(panels):
        left = number * (size[0] + GAP)
        draw.text((left + 2, 3), caption, fill="black", font=font)
        panel = Image.fromarray(to_8bit(pixels)).resize(size, Image.Resampling.NEAREST)
        canvas.paste(panel, (left, CAPTION_HEIGHT))
    return np.asarray(canvas)
