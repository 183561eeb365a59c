"""What other estimates know that the chain of filters does not.

Entry "estimates whose errors differ" of the log.

    PYTHONPATH=docs/experiments python -m estimators SET12/0[1357].png --seeds 1,3,5,7

A row has means over the images: by how many dB an estimate is better than the chain of `balanced`,
from whose image it starts, how far the errors of both correlate, and what the best mean of both
gains over the chain.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import typer
from scipy.fft import dctn, idctn
from torch.nn.functional import fold, pad, unfold

from ablation import refined
from denoise.options import RefinementOptions
from denoise.pipeline.image import denoise_image
from denoise.refinement.groups import similar_patches
from denoise.refinement.passes import filter_image
from denoise.vae.learned import apply_vae, for_another_image, learn_vae
from trials import (
    Epochs,
    Image,
    Images,
    Only,
    Sample,
    Seeds,
    Sigma,
    alone,
    chosen,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

# The VAE that learns from the chain's image takes this share of sigma for the noise left in it.
NOISE_LEFT = 0.4
# Shrinkage of frequencies: half a window, standard deviation of its weights and distance of
# windows, in pixels; range of alike values in units of the noise's variance; factor on the noise.
HALF, WIDTH, STEP, RANGE, CAUTION = 15, 10.0, 5, 0.5, 0.8
# Weight of the guide beside windows of weights with a median of 1.
ANCHOR = 2.0
# Weights of an estimate in means with the guide.
WEIGHTS = [step / 10 for step in range(11)]


def chain_only(sigma: float) -> RefinementOptions:
    """The filters of `balanced` without its last passes."""
    options = preset_options("balanced", sigma).refinement or RefinementOptions()
    return replace(options, last_patch_sizes=())


def last_passes(sizes: tuple[int, ...], members: int, sample: Sample, guide: Image) -> Image:
    """The mean of one pass over the data within patches for each size."""
    noisy, pilot = (in_sigmas(image, sample) for image in (sample.noisy, guide))
    found = torch.zeros_like(noisy)
    for size in sizes:
        groups = similar_patches(pilot, size, members, chain_only(sample.sigma))
        ridge = torch.full_like(groups[:, 0], groups.shape[1], dtype=pilot.dtype)
        found += filter_image(noisy, pilot, groups, ridge, size, across_patches=False)
    return (found / len(sizes)).numpy() * sample.sigma


def vae_of_the_guide(epochs: int | None, sample: Sample, guide: Image) -> Image:
    """A VAE that has learned from the guide, applied to the noisy image."""
    options = with_epochs(alone(preset_options("balanced", sample.sigma)), epochs)
    image, noisy = (
        torch.as_tensor(one, dtype=torch.float64)[..., None] for one in (guide, sample.noisy)
    )
    sigma = NOISE_LEFT * sample.sigma
    size = options.model.patch_sizes[0]
    vae = learn_vae([image], sigma, size, options=options, seed=0, on_epoch=lambda stats: None)
    rebuilt = apply_vae(
        for_another_image(vae, sample.sigma),
        noisy,
        options=options,
        seed=0,
        with_variance=False,
        on_patches=lambda done: None,
    )
    return rebuilt.image[..., 0].numpy()


def coarse_scale(sample: Sample, guide: Image) -> Image:
    """The guide, with a mean of itself and of the chain at half the scale in low frequencies."""
    height, width = (side // 2 for side in guide.shape)
    noisy, pilot = (
        idctn(dctn(image, norm="ortho")[:height, :width], norm="ortho") / 2
        for image in (sample.noisy.astype(float), guide.astype(float))
    )
    coarse = refined(noisy, pilot, sample.sigma / 2, chain_only(sample.sigma / 2))
    cosines = dctn(guide.astype(float), norm="ortho")
    low = slice(height // 2), slice(width // 2)
    cosines[low] = (cosines[low] + 2 * dctn(coarse, norm="ortho")[low]) / 2
    image: Image = idctn(cosines, norm="ortho")
    return image


def shrunk_frequencies(sample: Sample, guide: Image) -> Image:
    """Noise taken from the frequencies of windows, where the guide is as in their middle.

    A window's pixels weigh k = exp(-(g - g0)^2 / RANGE) times a Gaussian of their distance. The
    transform of the weighted window is multiplied by exp(-CAUTION S / |G|^2), where G is that of
    the guide and S = sum k^2 its noise. After DDID (Knaus, Zwicker, IEEE ICIP 2013) and DA3D
    (Pierazzo, Facciolo, IPOL 2017), without the latter's choice of windows and planes.
    """
    side = 2 * HALF + 1
    noisy, pilot = (
        pad(in_sigmas(image, sample)[None], (HALF,) * 4, "reflect")
        for image in (sample.noisy, guide)
    )
    data, model = (
        unfold(image[None], side, stride=STEP)[0].T.view(-1, side, side) for image in (noisy, pilot)
    )
    offsets = torch.arange(side) - HALF
    distance = (offsets[:, None].square() + offsets.square()) / WIDTH**2
    alike = (model - model[:, HALF, HALF, None, None]).square() / RANGE
    kernel = (-alike - distance / 2).exp()
    total = kernel.sum((1, 2), keepdim=True)
    mean, model_mean = ((kernel * one).sum((1, 2), keepdim=True) / total for one in (data, model))
    energy = torch.fft.rfft2(kernel * (model - model_mean)).abs().square()
    noise = kernel.square().sum((1, 2), keepdim=True)
    gain = (-CAUTION * noise / energy.clamp(min=1e-9)).exp()
    spectrum = gain * torch.fft.rfft2(kernel * (data - mean))
    weighted = kernel * torch.fft.irfft2(spectrum, s=(side, side)) + kernel.square() * mean
    sums, weights = (
        fold(one.flatten(1).T[None], noisy.shape[1:], side, stride=STEP)[
            0, 0, HALF:-HALF, HALF:-HALF
        ]
        for one in (weighted, kernel.square())
    )
    anchor = ANCHOR * weights.median()
    found = (sums + anchor * in_sigmas(guide, sample)) / (weights + anchor)
    return found.numpy() * sample.sigma


def in_sigmas(image: Image, sample: Sample) -> torch.Tensor:
    """(height, width) float, in units of the noise."""
    return torch.as_tensor(image / sample.sigma, dtype=torch.float32)


def errors_correlate(sample: Sample, one: Image, other: Image) -> float:
    """The correlation of the errors of two estimates, about 0."""
    first, second = (np.ravel(image - sample.clean).astype(float) for image in (one, other))
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
) -> None:
    """Print what each estimate gains over the chain of `balanced`."""
    rows: dict[str, Callable[[Sample, Image], Image]] = {
        "VAE learned from the guide": partial(vae_of_the_guide, epochs),
        "two scales": coarse_scale,
        "shrunk frequencies": shrunk_frequencies,
        "7x7, groups of 20": partial(last_passes, (7,), 20),
        "5x5, 7x7 and 9x9, groups of 20": partial(last_passes, (5, 7, 9), 20),
        "4x4, 6x6 and 8x8, groups of 16": partial(last_passes, (4, 6, 8), 16),
    }
    noisy = noisy_samples(images, sigma, seeds)
    guides = []
    for sample in noisy:
        options = with_epochs(preset_options("balanced", sigma), epochs)
        options = replace(options, refinement=chain_only(sigma))
        guides.append(denoise_image(sample.noisy, sigma, options=options, device="cpu").image)
    print_header("estimate", "better by", "correlation", "best mean", "its weight")
    for name in chosen(rows, only):
        found = [rows[name](sample, guide) for sample, guide in zip(noisy, guides, strict=True)]
        trials = list(zip(noisy, guides, found, strict=True))
        gains = [
            statistics.mean(
                sample.psnr(guide + weight * (image - guide)) - sample.psnr(guide)
                for sample, guide, image in trials
            )
            for weight in WEIGHTS
        ]
        alike = statistics.mean(
            errors_correlate(sample, guide, image) for sample, guide, image in trials
        )
        best = max(gains)
        weight = WEIGHTS[gains.index(best)]
        print_row(name, f"{gains[-1]:+.3f}", f"{alike:.3f}", f"{best:+.3f}", f"{weight:.1f}")


if __name__ == "__main__":
    typer.run(main)
