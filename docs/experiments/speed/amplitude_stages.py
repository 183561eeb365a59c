"""Seconds of the amplitude model's E-step and M-step on one chunk of patches.

With H latents, S states a patch, a latents on in each on average, and D values, M^-1, M^-1 c and
the evidence of a state (`amplitude_vae.py`) take 2a^3 + 4a operations, and the gains of all its H
neighbours H (a^2 + 4a + 6) more, for as many states as may be expanded (often fewer are within
reach); the posterior sums 3a^2 a state, <a r^T> and the posterior mean 2HD a patch; the variances
2a^2 D + 4aD a state, after the means. Memory moves what has to: patches, projections, states and
log joints once in, and states and log joints, or the amplitudes (8 bytes each while they are added
up), once out. Rows of the Gram matrix stay in a cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from denoise.kernels.choice import implementation
from denoise.options import DenoiseOptions
from denoise.patches import Patches, PatchGrid
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.best_first import extent_of
from denoise.vae.closed_form import amplitude_sums, solve_amplitudes
from denoise.vae.learned import LearnedVAE
from denoise.vae.search import improve
from denoise.vae.stored_states import SparseStates, no_latents_on
from speed.stages import StageTime, Work, time_stage

KEY = (0, 0)


@torch.no_grad()
def amplitude_stages(
    vae: LearnedVAE, image: Tensor, options: DenoiseOptions, paths: Sequence[str]
) -> list[StageTime]:
    """Time a model on as many patches of an image as are handled at a time.

    Parameters
    ----------
    vae : whose model is an `AmplitudeVAE`
    image : (height, width, C) float, on the model's device
    paths : to time where there are kernels, see `on_path`
    """
    model, device, search = vae.model, image.device, options.search
    assert isinstance(model, AmplitudeVAE)
    patches = _some_patches(vae, image, options.inference.chunk_size)
    steps = options.inference.search_steps
    start = no_latents_on(search.states, len(model.prior_probs), model.max_active, patches.values)

    def find() -> SparseStates:
        found = improve(model, patches, start, search, key=KEY, steps=steps)
        if isinstance(found, SparseStates):
            return found
        return SparseStates.of(found, model.max_active)

    found = find()
    sums, _ = amplitude_sums(model, patches, found)
    kernels = implementation(patches.values, "numba", "triton") != "plain"
    expansions = extent_of(search, steps).expansions
    work = _search_work(found, expansions)
    stages = time_stage("search", find, work, device, paths, kernels=kernels)
    stages += time_stage(
        "sums",
        lambda: amplitude_sums(model, patches, found),
        _sums_work(model, found),
        device,
        paths,
        kernels=kernels,
    )
    stages += time_stage(
        "solve", lambda: solve_amplitudes(sums), _solve_work(model), device, paths, kernels=False
    )
    stages += time_stage(
        "means",
        lambda: model.posterior_mean(patches, found),
        _means_work(model, found),
        device,
        paths,
        kernels=kernels,
    )
    stages += time_stage(
        "variances",
        lambda: model.posterior_variance(patches, found),
        _variances_work(model, found),
        device,
        paths,
        kernels=implementation(patches.values, "numba") != "plain",
    )
    return stages


def _some_patches(vae: LearnedVAE, image: Tensor, count: int) -> Patches:
    """Drawn at random, in the model's units."""
    pixels = (image / vae.scale).to(torch.float32)
    grid = PatchGrid.of(image, vae.patch_size)
    index = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))[:count]
    index = index.to(image.device)
    return Patches.from_raw(grid.extract(pixels, index), index)


def _search_work(found: SparseStates, expansions: int) -> Work:
    on, size, latents = _mean_active(found), found.log_joints.shape[1], found.latents
    solving = 2 * on**3 + 4 * on
    operations = size * solving + expansions * (solving + latents * (on**2 + 4 * on + 6))
    moved = 4 * latents + 2 * _bytes_per_patch(found)
    count = len(found)
    return Work(count, count * operations, count * moved, count * expansions * latents)


def _sums_work(model: AmplitudeVAE, found: SparseStates) -> Work:
    on, size, (latents, width) = _mean_active(found), found.log_joints.shape[1], _shape(model)
    operations = size * (2 * on**3 + 4 * on + 3 * on**2) + 2 * latents * width
    moved = 4 * width + 12 * latents + _bytes_per_patch(found)
    return Work(len(found), len(found) * operations, len(found) * moved)


def _means_work(model: AmplitudeVAE, found: SparseStates) -> Work:
    on, size, (latents, width) = _mean_active(found), found.log_joints.shape[1], _shape(model)
    operations = size * (2 * on**3 + 4 * on) + 2 * latents * width
    moved = 8 * width + 12 * latents + _bytes_per_patch(found)
    return Work(len(found), len(found) * operations, len(found) * moved)


def _variances_work(model: AmplitudeVAE, found: SparseStates) -> Work:
    """The means, then M^-1 W and W^T M^-1 W, of which the diagonal, for each state."""
    means, width = _means_work(model, found), _shape(model)[1]
    on, size = _mean_active(found), found.log_joints.shape[1]
    operations = size * (2 * on**3 + 4 * on + 2 * on**2 * width + 4 * on * width)
    moved = 8 * width + _bytes_per_patch(found)
    count = len(found)
    return Work(count, means.operations + count * operations, means.moved + count * moved)


def _solve_work(model: AmplitudeVAE) -> Work:
    """A Cholesky factor and two triangular systems, once for a batch."""
    latents, width = _shape(model)
    return Work(0, latents**3 / 3 + 2 * latents**2 * width, 4.0 * latents * (latents + 2 * width))


def _shape(model: AmplitudeVAE) -> tuple[int, int]:
    """H and D."""
    latents, width = model.vectors.shape
    return latents, width


def _bytes_per_patch(found: SparseStates) -> float:
    return float(2 * found.active[0].numel() + 4 * found.log_joints.shape[1])


def _mean_active(found: SparseStates) -> float:
    """Latents on in a state that is not an empty place, on average."""
    there = ~found.log_joints.isneginf()
    on = (found.active < found.latents).sum(-1)
    return float(on[there].double().mean())
