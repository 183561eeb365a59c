"""Seconds of the amplitude model's E-step and M-step on one chunk, against the machine's limits.

Work is counted by hand from the algorithm, not from what a kernel happens to execute. With H
latents, S states a patch and a latents on in each on average, M^-1, M^-1 c and the evidence of a
state (`amplitudes.py`) take 2a^3 + 4a operations, and the gains of all its H neighbours
H (a^2 + 4a + 6) more, for as many states as may be expanded (often fewer are within reach); the
posterior sums 3a^2. Memory moves what has to: projections, states and log joints once in, and
states and log joints, or the amplitudes (8 bytes each while they are added up), once out. Rows of
the Gram matrix stay in a cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from denoise import fast_path
from denoise.model import BinaryVAE
from denoise.neighbourhood import Extent, explore
from denoise.options import DenoiseOptions
from denoise.patches import Patches
from denoise.search import extent_of, scored
from denoise.stored_states import SparseStates, no_latents_on
from denoise.vae import LearnedVAE

REPEATS = 5
# Values that are copied, and side of the matrices that are multiplied, to learn the limits.
COPIED = 2**26
MATRIX = 2048


@dataclass(frozen=True)
class Limits:
    """What the machine reached in this run.

    Attributes
    ----------
    bandwidth : bytes read and written per second by a copy
    arithmetic : float32 operations per second in a matrix product
    """

    bandwidth: float
    arithmetic: float


@dataclass(frozen=True)
class StageTime:
    """One stage on one chunk.

    Attributes
    ----------
    stage : "search", "sums" or "gradient"
    path : "kernels" or "plain"
    seconds : median of some runs
    patches, scored : how many were handled, and how many neighbours or children were scored
    operations, moved : by hand: float operations, and bytes that have to pass through memory
    """

    stage: str
    path: str
    seconds: float
    patches: int
    scored: int
    operations: float
    moved: float

    def share_of(self, limits: Limits) -> float:
        """Time that the binding limit asks for, as a share of the time that was taken."""
        least = max(self.operations / limits.arithmetic, self.moved / limits.bandwidth)
        return least / self.seconds


def measure_limits(device: torch.device) -> Limits:
    """Copy and multiply on the device."""
    values = torch.zeros(COPIED, device=device)
    target = torch.empty_like(values)
    copying = seconds(lambda: target.copy_(values), device)
    matrix = torch.ones(MATRIX, MATRIX, device=device)
    multiplying = seconds(lambda: matrix @ matrix, device)
    return Limits(2 * 4 * COPIED / copying, 2 * MATRIX**3 / multiplying)


def measure_stages(
    vae: LearnedVAE, patches: Patches, options: DenoiseOptions, *, plain: bool
) -> list[StageTime]:
    """The search on `patches` by the kernels of the device and by plain tensors, and the sums.

    Parameters
    ----------
    vae : with amplitudes
    plain : time the plain tensors even where there are kernels; sums are timed by kernels only
    """
    model, device = vae.model, patches.values.device
    search = options.search
    extent = extent_of(search, options.inference.search_steps)
    start = no_latents_on(search.states, vae.start.pool.shape[1], model.max_active, patches.values)
    kernels = fast_path.kernels_for(model, patches, start)
    paths: dict[str, Callable[[], SparseStates]] = {}
    if kernels is not None:
        paths["kernels"] = lambda: fast_path.explore(kernels, model, patches, start, extent)
    if plain or kernels is None:
        paths["plain"] = lambda: _plain_search(model, patches, start, extent)
    times = []
    for path, search_once in paths.items():
        found = search_once()
        work = _search_work(found, extent.expansions)
        times.append(_time("search", path, search_once, found, extent.expansions, work, device))
    if kernels is not None:
        work = _sums_work(found)
        sums = lambda: fast_path.posterior_sums(kernels, model, patches, found)  # noqa: E731
        times.append(_time("sums", "kernels", sums, found, 0, work, device))
    return times


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median time of some runs, after one that does not count."""
    taken = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def _time(
    stage: str,
    path: str,
    work: Callable[[], object],
    found: SparseStates,
    expansions: int,
    counts: tuple[float, float],
    device: torch.device,
) -> StageTime:
    neighbours = len(found) * expansions * found.latents
    return StageTime(stage, path, seconds(work, device), len(found), neighbours, *counts)


def _search_work(found: SparseStates, expansions: int) -> tuple[float, float]:
    """Operations and bytes of the search."""
    on, size, latents = _mean_active(found), found.log_joints.shape[1], found.latents
    solving = 2 * on**3 + 4 * on
    operations = size * solving + expansions * (solving + latents * (on**2 + 4 * on + 6))
    return len(found) * operations, len(found) * (4 * latents + 2 * _bytes_per_patch(found))


def _sums_work(found: SparseStates) -> tuple[float, float]:
    """Operations and bytes of the posterior sums."""
    on, size = _mean_active(found), found.log_joints.shape[1]
    operations = size * (2 * on**3 + 4 * on + 3 * on**2)
    return len(found) * operations, len(found) * (12 * found.latents + _bytes_per_patch(found))


def _bytes_per_patch(found: SparseStates) -> float:
    return float(2 * found.active[0].numel() + 4 * found.log_joints.shape[1])


def _mean_active(found: SparseStates) -> float:
    """Latents on in a state that is not an empty place, on average."""
    there = ~found.log_joints.isneginf()
    on = (found.active < found.latents).sum(-1)
    return float(on[there].double().mean())


def _plain_search(
    model: BinaryVAE, patches: Patches, start: SparseStates, extent: Extent
) -> SparseStates:
    found = explore(model, patches, scored(model, patches, start), extent)
    return SparseStates.of(found, model.max_active)
