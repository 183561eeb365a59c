"""What was removed from an image, as values or as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise.files.formats import format_of_suffix
from denoise.files.image_file import ImageFile
from denoise.files.images import write_image
from denoise.files.outputs import write_array
from denoise.files.samples import PEAK

# The share of values that may be beyond black and white in a picture.
CUT_OFF = 0.001


def write_residual(
    path: Path, noisy: ImageFile, written: ImageFile, *, overwrite: bool
) -> tuple[str, ...]:
    """Write what was removed: its values as .npy or TIFF, or a picture of it in other formats.

    Returns
    -------
    Notes on how to read it
    """
    removed = residual(noisy, written)
    if path.suffix.lower() == ".npy":
        write_array(path, removed)
        return ()
    if format_of_suffix(path.suffix).name == "TIFF":
        like = ImageFile(path, removed, sample_type=removed.dtype.name)
        write_image(path, removed, like=like, overwrite=overwrite)
        return ()
    limit = _limit(removed)
    write_image(path, _picture(removed, limit), overwrite=overwrite)
    size = f"{limit:.3g}" + ("" if noisy.is_float else " of 255")
    return (
        f"{path}: gray says that nothing was removed, white that {size} was, and black that as"
        " much was added",
    )


def residual(noisy: ImageFile, written: ImageFile) -> NDArray[np.floating]:
    """What was removed, noisy less written, in the units of `ImageFile.pixels`.

    Returns
    -------
    float64 for such images, else float32; NaN where the value was missing
    """
    dtype = np.float64 if noisy.sample_type == "float64" else np.float32
    removed = noisy.pixels.astype(np.float64) - written.pixels
    if noisy.void is not None:
        removed[noisy.void] = 0
    return np.asarray(removed, dtype)


def _limit(removed: NDArray[np.floating]) -> float:
    """What white stands for: no more than CUT_OFF of the values are larger, or less than -limit."""
    sizes = np.abs(removed[np.isfinite(removed)])
    return float(np.quantile(sizes, 1 - CUT_OFF, method="higher")) if sizes.size else 0.0


def _picture(removed: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """A picture on 0..255: 128 where nothing was removed, or could be since it was missing."""
    middle = (PEAK + 1) / 2
    scaled = np.nan_to_num(removed.astype(np.float64)) * ((middle - 1) / (limit or 1.0))
    return np.asarray(np.clip(middle + scaled, 0, PEAK), np.float64)
