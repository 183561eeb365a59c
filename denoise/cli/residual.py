"""What was removed from an image, as values or as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise.cli.file_noise import scale_of
from denoise.files.formats import format_of_suffix
from denoise.files.image_file import ImageFile
from denoise.files.images import write_image
from denoise.files.outputs import write_array
from denoise.views import residual_limit, residual_view


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
