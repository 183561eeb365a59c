"""How far the best-first search has to go, and what a step of it costs.

Entry "the search on a CPU, once more" of the log.

    PYTHONPATH=docs/experiments python -m search_reach SET12/01.png
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Annotated

import torch
import typer

from denoise.options import SearchOptions
from denoise.patches import Patches, PatchGrid
from denoise.vae.learned import LearnedVAE
from denoise.vae.search import improve
from denoise.vae.stored_states import StateSets, no_latents_on
from trials import (
    Epochs,
    Images,
    Sample,
    Seeds,
    Sigma,
    changed,
    learned_vae,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

REACHES = (math.inf, 5.0, 4.0, 3.0, 2.0)
RUNS = 5


def some_patches(sample: Sample, vae: LearnedVAE, count: int) -> Patches:
    """Patches from all over a gray image, in the units of the model."""
    pixels = torch.as_tensor(sample.noisy / vae.scale, dtype=torch.float32)[..., None]
    height, width, channels = pixels.shape
    grid = PatchGrid((height, width, channels), vae.patch_size, pixels.device)
    index = torch.linspace(0, len(grid) - 1, min(count, len(grid))).long()
    return Patches.from_raw(grid.extract(pixels, index), index)


def searched(
    vae: LearnedVAE, patches: Patches, start: StateSets, search: SearchOptions, steps: int
) -> tuple[StateSets, list[str]]:
    """The states that are found, and cells: mean ELBO in nats, milliseconds (least of all runs)."""
    milliseconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        found = improve(vae.model, patches, start, search, key=(0, 0), steps=steps)
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return found, [f"{float(found.elbo().mean()):.4f}", f"{min(milliseconds):.1f}"]


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    epochs: Epochs = None,
    count: Annotated[int, typer.Option("--patches", help="Search this many patches.")] = 4096,
) -> None:
    """Print what the search finds by its reach, then what it costs by the number of steps."""
    options = changed(preset_options("balanced", sigma), model={"patch_sizes": (8,)})
    options = with_epochs(options, epochs)
    search, steps = options.search, options.inference.search_steps
    expansions = search.parents * search.generations
    print_header("image", "start", "reach", "expansions", "ELBO", "ms")
    for sample in noisy_samples(images, sigma, seeds):
        vae = learned_vae(sample, options)
        patches = some_patches(sample, vae, count)
        nothing_on = no_latents_on(
            search.states, options.model.latents, options.model.max_active, patches.values
        )
        for reach in REACHES:
            limited = replace(search, reach=reach)
            _, cells = searched(vae, patches, nothing_on, limited, steps)
            print_row(sample.name, "nothing on", f"{reach:g}", str(expansions * steps), *cells)
        found, _ = searched(vae, patches, nothing_on, search, steps)
        for more in (0, 1, steps):
            _, cells = searched(vae, patches, found, search, more)
            done = str(expansions * more)
            print_row(sample.name, "found states", f"{search.reach:g}", done, *cells)


if __name__ == "__main__":
    typer.run(main)
