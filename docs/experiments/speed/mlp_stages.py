"""Seconds of the published decoder's E-step and M-step, and what its whole training would take.

With H latents, a of them on, F hidden units and D values, a state costs 2aF + 2FD operations, a
child 2F + 2FD, since its hidden layer is its parent's plus or minus a row; in the M-step, a state
costs 2aF + 2FD forwards, and 4FD + 2aF backwards. Memory moves the patches, and in the E-step the
packed states and log joints of states and children once each way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from denoise.options import DenoiseOptions, SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.presets import Overrides, override, preset_for
from denoise.vae.gradient import gradient
from denoise.vae.learned import LearnedVAE, learn_vae
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.randomness import PatchRandom
from denoise.vae.search import improve
from denoise.vae.states import LatentStates, random_states
from denoise.vae.stored_states import PackedStates
from denoise.vae.training import EpochStats
from speed.paths import on_path
from speed.stages import StageTime, Work, time_stage

# Epochs and patches of a short training, whose last epoch gives the pace of the long one: in the
# first one, the noise falls, and a GPU compiles; in each, one CUDA graph is captured.
EPOCHS, TRAINED, TRAINED_ON_GPU = 3, 4096, 32_768
# Patches of a chunk that keeps a GPU busy.
CHUNK = 1024
KEY = (0, 1)


@dataclass(frozen=True)
class ShortTraining:
    """Some epochs on some patches, and what the whole training would take at this pace.

    Attributes
    ----------
    path : "kernels" or "plain"
    elbo : in nats per patch
    seconds : of the whole training
    """

    path: str
    elbo: float
    seconds: float


@dataclass(frozen=True)
class PublishedTraining:
    """What training with the published settings takes.

    Attributes
    ----------
    epochs, patches : of the whole training
    paths : kernels, where there are some, then plain tensors
    stages : one E-step and one M-step on a batch and on a chunk
    """

    epochs: int
    patches: int
    paths: tuple[ShortTraining, ...]
    stages: tuple[StageTime, ...]


def measure_published_training(
    image: Tensor, sigma: float, paths: Sequence[str]
) -> PublishedTraining:
    """Time the preset "paper" on the device of an image (height, width, 1) with values 0..255.

    `paths` are taken where there are kernels, see `on_path`.
    """
    options = preset_for("paper", sigma)
    size = options.model.patch_sizes[0]
    grid = PatchGrid.of(image, size)
    patches = min(len(grid), options.training.patch_budget)
    some = _some_patches(image, grid, CHUNK)
    vae, training = _short_training(image, sigma, options, patches, "kernels")
    assert isinstance(vae.model, MLPVAE)
    kernels = vae.model.network(some) is not None
    trainings: tuple[ShortTraining, ...] = (replace(training, path="plain"),)
    if kernels:
        _, other = _short_training(image, sigma, options, patches, "plain")
        trainings = (training, other)
    stages = [
        stage
        for count in (options.training.batch_size, CHUNK)
        for stage in _stages(vae, some[:count], options, paths, kernels=kernels)
    ]
    return PublishedTraining(options.training.epochs, patches, trainings, tuple(stages))


def _short_training(
    image: Tensor, sigma: float, options: DenoiseOptions, patches: int, path: str
) -> tuple[LearnedVAE, ShortTraining]:
    """Learn on some of the `patches` patches of an image."""
    budget = TRAINED_ON_GPU if image.is_cuda else TRAINED
    short = override(options, Overrides(epochs=EPOCHS, patch_budget=budget))
    size, ends = options.model.patch_sizes[0], list[float]()

    def note_end(stats: EpochStats) -> None:
        ends.append(time.perf_counter())  # the ELBO is known, so a GPU is done

    with on_path(path):
        vae = learn_vae([image], sigma, size, options=short, seed=0, on_epoch=note_end)
    share = patches / min(patches, budget)
    seconds = (ends[-1] - ends[-2]) * share * options.training.epochs
    return vae, ShortTraining(path, vae.history[-1].elbo, seconds)


def _some_patches(image: Tensor, grid: PatchGrid, count: int) -> Patches:
    index = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))[:count]
    index = index.to(image.device)
    return Patches.from_raw(grid.extract(image.to(torch.float32), index), index)


def _stages(
    vae: LearnedVAE,
    patches: Patches,
    options: DenoiseOptions,
    paths: Sequence[str],
    *,
    kernels: bool,
) -> list[StageTime]:
    model, search, device = vae.model, options.search, patches.values.device
    assert isinstance(model, MLPVAE)
    bits = random_states(search.states, len(model.prior_probs), PatchRandom(KEY, patches.index))
    scores = patches.values.new_zeros(len(patches), search.states)
    start = LatentStates(bits, scores)
    packed = PackedStates.of(start)

    @torch.no_grad()
    def find() -> object:
        return improve(model, patches, packed, search, key=KEY)

    work = _search_work(model, patches, start, search)
    stages = time_stage("search", find, work, device, paths, kernels=kernels)
    stages += time_stage(
        "gradient",
        lambda: gradient(model, patches, packed),
        _gradient_work(model, patches, start),
        device,
        paths,
        kernels=kernels,
    )
    return stages


def _search_work(
    model: MLPVAE, patches: Patches, start: LatentStates, search: SearchOptions
) -> Work:
    latents, hidden, width = model.mlp.sizes
    on = float(start.bits.sum(-1).double().mean())
    parents = search.generations * search.parents
    bred = parents * search.children
    forwards = 2 * on * hidden + 2 * hidden * width
    operations = search.states * forwards
    operations += parents * 2 * on * hidden + bred * 2 * hidden * (1 + width)
    state = -(-latents // 8) + 4
    moved = 4.0 * width + 2 * (search.states + bred) * state
    count = len(patches)
    return Work(count, count * operations, count * moved, count * bred)


def _gradient_work(model: MLPVAE, patches: Patches, start: LatentStates) -> Work:
    latents, hidden, width = model.mlp.sizes
    on = float(start.bits.sum(-1).double().mean())
    states = start.log_joints.shape[1]
    operations = states * (4 * on * hidden + 6 * hidden * width)
    moved = 4.0 * width + states * (-(-latents // 8) + 4)
    return Work(len(patches), len(patches) * operations, len(patches) * moved)
