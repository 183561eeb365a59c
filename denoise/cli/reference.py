"""The clean reference of an image, and quality against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from denoise.cli.settings import Settings
from denoise.errors import ImageError
from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.files.rows import RowImage, open_rows
from denoise.files.series import open_series
from denoise.metrics import Quality, psnr, psnr_of, ssim


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
    return checked_reference(reference, noisy)


@contextmanager
def open_references(path: Path, max_pixels: int | None) -> Iterator[Callable[[int], RowImage]]:
    """Open a file of as many references as there are images, or of one for all of them.

    Yields
    ------
    from the number of an image, from 0, to its reference
    """
    with open_series(path, max_pixels=max_pixels) as series:
        if series is not None:
            yield series.frame
            return
    with open_rows(path, max_pixels=max_pixels) as alone:
        yield lambda number: alone


def checked_reference(reference: ImageFile, noisy: ImageFile) -> ImageFile:
    """The clean version of an image; an ImageError if it cannot be that."""
    check_reference(reference, noisy)
    check_range(reference.path, reference.data_range)
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


def check_first_row(reference: RowImage, noisy: RowImage) -> None:
    """The same as far as headers and first rows say it."""
    if (reference.size, reference.like.channels) != (noisy.size, noisy.like.channels):
        raise ImageError(
            f"{reference.path}: the reference is {reference.description}, but {noisy.path} is"
            f" {noisy.description}; give the clean version of the same image"
        )
    check_reference(reference.like, noisy.like)


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


class ReferenceRows:
    """The clean version of an image that is denoised some rows at a time.

    SSIM looks at the whole image, so that there is none.

    Raises
    ------
    ImageError
        If it is unlike the noisy image.
    """

    def __init__(self, reference: RowImage, noisy: RowImage) -> None:
        check_first_row(reference, noisy)
        self._reference = reference
        self._row = 0
        self._errors, self._counts = np.zeros(2), np.zeros(2, np.int64)  # before and after
        self._lowest, self._highest = np.inf, -np.inf

    def add(self, noisy: ImageFile, denoised: ImageFile) -> None:
        """Compare the next rows, where all images are a picture and no value was missing before."""
        bottom = self._row + len(noisy.pixels)
        reference = self._reference.rows(self._row, bottom)
        self._row = bottom
        check_reference(reference, noisy)
        picture = noisy.picture & reference.picture
        for number, image in enumerate((noisy, denoised)):
            off = (reference.pixels.astype(np.float64) - image.pixels)[picture]
            off = off[~np.isnan(off)]
            self._errors[number] += np.square(off).sum()
            self._counts[number] += off.size
        clean = reference.pixels[picture]
        self._lowest = min(self._lowest, clean.min(initial=np.inf))
        self._highest = max(self._highest, clean.max(initial=-np.inf))

    @property
    def quality(self) -> Quality | None:
        """The quality of all rows; None where nothing can be compared."""
        if not self._counts.all():
            return None
        like = self._reference.like
        data_range = self._highest - self._lowest if like.is_float else like.data_range
        check_range(self._reference.path, data_range)
        before, after = (
            psnr_of(error / count, data_range)
            for error, count in zip(self._errors, self._counts, strict=True)
        )
        return Quality(before, after, None, None)
