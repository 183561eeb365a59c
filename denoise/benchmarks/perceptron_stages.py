"""Seconds of the published decoder's E-step and M-step, and what its whole training would take.

Work is counted by hand as in `stages.py`. With H latents, a of them on, F hidden units and D
values, a state costs 2aF + 2FD operations, a child 2F + 2FD, since its hidden layer is its
parent's plus or minus a row; in the M-step, a state costs 2aF + 2FD forwards, and 4FD + 2aF
backwards. Memory moves the patches, and in the E-step the packed states and log joints of states
and children once each way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from denoise.benchmarks.stages import StageTime, seconds
from denoise.gpu import evolution, perceptron
from denoise.learning import gradient
from denoise.model import BinaryVAE
from denoise.options import DenoiseOptions, SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.presets import override, preset
from denoise.randomness import PatchRandom
from denoise.search import evolve, scored
from denoise.states import LatentStates, random_states
from denoise.stored_states import PackedStates
from denoise.vae import LearnedVAE, learn_vae

# Patches of a short training, which the long one is told from; of one before it, which does not
# count; and of a chunk that keeps a GPU busy.
TRAINED, WARMED, CHUNK = 4096, 64, 1024
KEY = (0, 1)


@dataclass(frozen=True)
class PublishedTraining:
    """What training with the published settings takes.

    Attributes
    ----------
    epochs, patches : of the whole training
    seconds : for all of it, told from one epoch on some patches
    stages : one E-step and one M-step on a batch and on a chunk
    """

    epochs: int
    patches: int
    seconds: float
    stages: tuple[StageTime, ...]


def measure_published_training(image: Tensor, sigma: float) -> PublishedTraining:
    """Time the preset "paper" on the device of an image (height, width, 1) with values 0..255."""
    whole = preset("paper", sigma)
    size, taken = whole.model.patch_sizes[0], 0.0
    for count in (WARMED, TRAINED):
        options = override(whole, epochs=1, patch_budget=count)
        started = time.perf_counter()
        vae = learn_vae(image, sigma, size, options=options, seed=0, on_epoch=lambda stats: None)
        taken = time.perf_counter() - started
    grid = PatchGrid((image.shape[0], image.shape[1], 1), size, image.device)
    patches = min(len(grid), whole.training.patch_budget)
    epochs = whole.training.epochs
    stages = [
        stage
        for count in (options.training.batch_size, CHUNK)
        for stage in _stages(vae, _some_patches(image, grid, count), options)
    ]
    per_patch = taken / min(len(grid), TRAINED)
    return PublishedTraining(epochs, patches, per_patch * patches * epochs, tuple(stages))


def _some_patches(image: Tensor, grid: PatchGrid, count: int) -> Patches:
    index = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))[:count]
    index = index.to(image.device)
    return Patches.from_raw(grid.extract(image.to(torch.float32), index), index)


def _stages(vae: LearnedVAE, patches: Patches, options: DenoiseOptions) -> list[StageTime]:
    """E-step and M-step by the kernels of the device, if there are some, and by plain tensors."""
    model, search = vae.model, options.search
    states = random_states(search.states, len(model.prior_probs), PatchRandom(KEY, patches.index))
    scores = patches.values.new_zeros(len(patches), search.states)
    start = LatentStates(states, scores)
    packed = PackedStates.of(start)
    paths: dict[str, dict[str, Callable[[], object]]] = {
        "plain": {
            "search": lambda: _search_plainly(model, patches, start, search),
            "gradient": lambda: gradient(model, patches, start),
        }
    }
    if perceptron.supports(model, patches):
        paths["kernels"] = {
            "search": lambda: evolution.improve(model, patches, packed, search, key=KEY, steps=1),
            "gradient": lambda: perceptron.gradient(model, patches, packed),
        }
    work = {
        "search": _search_work(model, patches, start, search),
        "gradient": _gradient_work(model, patches, start),
    }
    bred = len(patches) * search.generations * search.parents * search.children
    return [
        StageTime(
            stage,
            path,
            seconds(step, patches.values.device),
            len(patches),
            bred if stage == "search" else 0,
            *work[stage],
        )
        for path, steps in paths.items()
        for stage, step in steps.items()
    ]


@torch.no_grad()
def _search_plainly(
    model: BinaryVAE, patches: Patches, start: LatentStates, search: SearchOptions
) -> LatentStates:
    random = PatchRandom(KEY, patches.index)
    return evolve(model, patches, scored(model, patches, start), search, random=random)


def _search_work(
    model: BinaryVAE, patches: Patches, start: LatentStates, search: SearchOptions
) -> tuple[float, float]:
    """Operations and bytes."""
    assert model.decoder is not None
    latents, hidden, width = model.decoder.sizes
    on = float(start.states.sum(-1).double().mean())
    parents = search.generations * search.parents
    bred = parents * search.children
    forwards = 2 * on * hidden + 2 * hidden * width
    operations = search.states * forwards
    operations += parents * 2 * on * hidden + bred * 2 * hidden * (1 + width)
    state = -(-latents // 8) + 4
    moved = 4 * width + 2 * (search.states + bred) * state
    return len(patches) * operations, len(patches) * float(moved)


def _gradient_work(model: BinaryVAE, patches: Patches, start: LatentStates) -> tuple[float, float]:
    assert model.decoder is not None
    latents, hidden, width = model.decoder.sizes
    on = float(start.states.sum(-1).double().mean())
    states = start.log_joints.shape[1]
    operations = states * (4 * on * hidden + 6 * hidden * width)
    moved = 4 * width + states * (-(-latents // 8) + 4)
    return len(patches) * operations, len(patches) * float(moved)
