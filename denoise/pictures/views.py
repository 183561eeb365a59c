"""Images as a screen shows them: 8 bits, turned upright, one tone curve for all of one image."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from denoise.files.ifd import orientation
from denoise.files.image_file import ImageFile
from denoise.files.samples import PEAK, to_8bit

# The shares of values that may be black and white in a view of more than 8 bits.
CUT_OFF = (0.001, 0.999)
# The share of values that may be beyond black and white in a picture of what was removed.
RESIDUAL_CUT_OFF = 0.001
# Files are made for a browser on the same machine: quickly rather than small.
COMPRESSION = 1
# What the orientations of TIFF 6.0 (tag 274) do to the pixels of a file, in this order: swap rows
# and columns, reverse the rows, reverse the columns.
TURNS = {
    **{1: (False, False, False), 2: (False, False, True), 3: (False, True, True)},
    **{4: (False, True, False), 5: (True, False, False), 6: (True, False, True)},
    **{7: (True, True, True), 8: (True, True, False)},
}


class ToneCurve(NamedTuple):
    """The values that are shown black and white, in the units of `ImageFile.pixels`."""

    black: float
    white: float

    def shown(self, pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Pixels of any shape on 0..255; missing ones are black."""
        scale = PEAK / max(self.white - self.black, 1e-30)
        return to_8bit(np.nan_to_num((pixels.astype(np.float64) - self.black) * scale))


def tone_curve(image: ImageFile) -> ToneCurve:
    """0 to 255 for images of 8 bits, else nearly all values that there are.

    Images of 16 bits and of floats often fill a small part of their range, and would look black.
    """
    if image.sample_type == "uint8":
        return ToneCurve(0.0, PEAK)
    values = image.pixels[image.picture]
    values = values[np.isfinite(values)]
    if not values.size:
        return ToneCurve(0.0, 1.0)
    black, white = np.quantile(values, CUT_OFF)
    return ToneCurve(float(black), float(white))


class Turn:
    """Turns pixels as they lie in a file the way up that the file says."""

    def __init__(self, image: ImageFile) -> None:
        self.steps = TURNS.get(orientation(image.metadata.exif), TURNS[1])

    def upright(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """An array (height, width, ...) as it shows."""
        swapped, rows, columns = self.steps
        turned = pixels.swapaxes(0, 1) if swapped else pixels
        return turned[:: -1 if rows else 1, :: -1 if columns else 1]

    def box_in_file(
        self, top: int, left: int, height: int, width: int, shape: tuple[int, int]
    ) -> tuple[slice, slice]:
        """Rows and columns, in the file, of a box that is given as it shows.

        Parameters
        ----------
        shape : height and width of the whole image as it shows
        """
        swapped, rows, columns = self.steps
        top = shape[0] - top - height if rows else top
        left = shape[1] - left - width if columns else left
        box = slice(top, top + height), slice(left, left + width)
        return (box[1], box[0]) if swapped else box


def residual_limit(removed: NDArray[np.floating]) -> float:
    """What white stands for in `residual_view`: nearly the largest size of what was removed."""
    sizes = np.abs(removed[np.isfinite(removed)])
    return float(np.quantile(sizes, 1 - RESIDUAL_CUT_OFF, method="higher")) if sizes.size else 0.0


def residual_view(removed: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """A picture on 0..255: 128 where nothing was removed, or could be since it was missing."""
    middle = (PEAK + 1) / 2
    scaled = np.nan_to_num(removed.astype(np.float64)) * ((middle - 1) / (limit or 1.0))
    return np.asarray(np.clip(middle + scaled, 0, PEAK), np.float64)


def uncertainty_view(uncertainty: NDArray[np.floating]) -> NDArray[np.floating]:
    """A picture on 0..255 of standard deviations: black for none, white for the largest."""
    return uncertainty * (PEAK / max(float(uncertainty.max()), 1e-6))


def as_png(
    picture: NDArray[np.uint8], icc_profile: bytes = b"", compression: int = COMPRESSION
) -> bytes:
    """The bytes of a PNG file of a picture (height, width) or (height, width, 3)."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.save(buffer, "PNG", compress_level=compression, icc_profile=icc_profile or None)
    return buffer.getvalue()
