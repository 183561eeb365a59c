"""One image file in, one denoised file out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from denoise import __version__
from denoise.errors import ImageError
from denoise.figures import side_by_side
from denoise.images import ImageFile, check_output, read_image, to_8bit, write_image
from denoise.metrics import psnr, ssim
from denoise.options import DenoiseOptions
from denoise.pipeline import Progress, denoise_image
from denoise.report import FileReport, Quality


def default_output(path: Path) -> Path:
    """The name next to the input: `noisy.png` -> `noisy_denoised.png`."""
    return path.with_name(f"{path.stem}_denoised{path.suffix}")


def denoise_file(
    path: Path,
    sigma: float,
    *,
    output: Path,
    options: DenoiseOptions,
    preset_name: str,
    seed: int,
    device: str,
    reference_path: Path | None = None,
    figure_path: Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FileReport:
    """Denoise a file, write the result and measure it.

    All that can be checked is checked before the work starts. Quality is that of
    the pixels as written, rounded and clipped.

    Parameters
    ----------
    sigma : standard deviation of the noise, on the 0..255 scale
    reference_path : clean image of the same size, to measure PSNR and SSIM
    figure_path : also write noisy, denoised and reference side by side

    Raises
    ------
    DenoiseError
        With a message that names the file and what to do.
    """
    started = time.perf_counter()
    noisy = read_image(path)
    check_output(output, overwrite=overwrite)
    if figure_path is not None:
        check_output(figure_path, overwrite=overwrite)
        if figure_path.resolve() == output.resolve():
            raise ImageError(f"{figure_path}: is also the output; give the figure its own name")
    reference = None if reference_path is None else _read_reference(reference_path, noisy)
    try:
        result = denoise_image(
            noisy.pixels, sigma, options=options, seed=seed, device=device, on_progress=on_progress
        )
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    denoised = replace(noisy, pixels=to_8bit(result.image).astype(np.float32))
    write_image(output, denoised.pixels, metadata=noisy.metadata, overwrite=overwrite)
    quality = None if reference is None else _quality(noisy, denoised, reference)
    if figure_path is not None:
        figure = side_by_side(_panels(noisy, denoised, reference, quality))
        write_image(figure_path, figure, overwrite=overwrite)
    height, width = noisy.pixels.shape[:2]
    return FileReport(
        input=str(path),
        output=str(output),
        width=width,
        height=height,
        channels=noisy.channels,
        device=result.device,
        preset=preset_name,
        seed=seed,
        sigma=sigma,
        learned_sigma=result.learned_sigma,
        elbo=result.elbo_history[-1],
        seconds=time.perf_counter() - started,
        version=__version__,
        quality=quality,
    )


def _read_reference(path: Path, noisy: ImageFile) -> ImageFile:
    reference = read_image(path)
    if reference.pixels.shape != noisy.pixels.shape:
        raise ImageError(
            f"{path}: the reference is {reference.description}, but {noisy.path} is"
            f" {noisy.description}; give the clean version of the same image"
        )
    return reference


def _quality(noisy: ImageFile, denoised: ImageFile, reference: ImageFile) -> Quality:
    return Quality(
        psnr_noisy=psnr(reference.pixels, noisy.pixels),
        psnr=psnr(reference.pixels, denoised.pixels),
        ssim_noisy=ssim(reference.pixels, noisy.pixels),
        ssim=ssim(reference.pixels, denoised.pixels),
    )


def _panels(
    noisy: ImageFile, denoised: ImageFile, reference: ImageFile | None, quality: Quality | None
) -> list[tuple[str, np.ndarray]]:
    if reference is None or quality is None:
        return [("noisy", noisy.pixels), ("denoised", denoised.pixels)]
    return [
        (f"noisy, {quality.psnr_noisy:.2f} dB", noisy.pixels),
        (f"denoised, {quality.psnr:.2f} dB", denoised.pixels),
        ("clean reference", reference.pixels),
    ]
