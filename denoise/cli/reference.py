"""The clean reference of an image, and quality against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denoise.cli.settings import Settings
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.metrics import Quality, psnr, ssim


def read_reference(path: Path, noisy: ImageFile, settings: Settings) -> ImageFile:
    """The clean version of an image.

    Raises
    ------
    ImageError
        If it cannot be read, or is unlike the noisy image.
    """
    try:
        reference = read_image(path, max_pixels=settings.max_pixels)
    except ImageError:
        if settings.frame is None:
            raise
        reference = read_image(path, frame=settings.frame, max_pixels=settings.max_pixels)
    check_reference(reference, noisy)
    check_range(path, reference.data_range)
    return reference


def check_reference(reference: ImageFile, noisy: ImageFile) -> None:
    """Raise an ImageError if it is unlike the noisy image, or is not finite."""
    path = reference.path
    if reference.find_non_finite() is not None:
        raise ImageError(f"{path}: the reference has pixels that are not finite")
    if reference.is_float != noisy.is_float:
        raise ImageError(
            f"{path}: the reference holds {reference.sample_type} pixels, but {noisy.path}"
            f" {noisy.sample_type}; give both as integers or both as floats"
        )
    if reference.pixels.shape != noisy.pixels.shape:
        raise ImageError(
            f"{path}: the reference is {reference.description}, but {noisy.path} is"
            f" {noisy.description}; give the clean version of the same image"
        )


def check_range(path: Path, data_range: float) -> None:
    """Raise an ImageError if there is no range for PSNR."""
    if data_range == 0:
        raise ImageError(f"{path}: the reference is the same everywhere, PSNR needs a range")


def quality_of(noisy: ImageFile, denoised: ImageFile, reference: ImageFile) -> Quality:
    """Quality before and after, where both images are a picture.

    SSIM looks at neighbourhoods, so that there is none for images with pixels that are no picture;
    in the noisy image, missing ones do not count either.
    """
    clean, peak = reference.pixels, reference.data_range
    picture = noisy.picture & reference.picture
    seen = ~np.isnan(noisy.pixels)
    seen &= picture if seen.ndim == 2 else picture[..., None]
    return Quality(
        psnr_noisy=psnr(clean[seen], noisy.pixels[seen], peak),
        psnr=psnr(clean[picture], denoised.pixels[picture], peak),
        ssim_noisy=ssim(clean, noisy.pixels, peak) if seen.all() else None,
        ssim=ssim(clean, denoised.pixels, peak) if picture.all() else None,
    )
