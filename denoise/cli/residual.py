"""What was removed from an image, as values or as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import scale_of
from denoise.files.formats import holds_floats
from denoise.files.image_file import ImageFile
from denoise.files.images import write_image, write_values
from denoise.pictures.views import residual_limit, residual_view


def write_residual(
    path: Path, noisy: ImageFile, written: ImageFile, *, overwrite: bool
) -> tuple[str, ...]:
    """Write what was removed: its values in a format for floats, or a picture of it in others.

    Returns
    -------
    Notes on how to read it
    """
    removed = residual(noisy, written)
    if holds_floats(path):
        write_values(path, removed, overwrite=overwrite)
        return ()
    limit = residual_limit(removed)
    write_image(path, residual_view(removed, limit), overwrite=overwrite)
    size = f"{limit:.3g}{scale_of(noisy)}"
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
