"""Which settings make the paper's MLP learn in seconds, one factor at a time.

Entries "making the MLP decoder learn on a CPU" and "patch size by noise level" of the log.

    PYTHONPATH=docs/experiments python -m mlp_settings SET12/02.png --seeds 2
"""

from __future__ import annotations

from typing import Any

import typer

from denoise.options import DenoiseOptions
from trials import Epochs, Images, Only, Seeds, Sigma, alone, changed, compare, preset_options

# The start of the search for settings: nothing is held, annealed or integrated out.
START: dict[str, dict[str, Any]] = {
    "model": {
        "patch_sizes": (8,),
        "latents": 128,
        "hidden": (128,),
        "free_patch_mean": False,
        "expected_active": 4.0,
    },
    "training": {
        "epochs": 20,
        "patch_budget": 16_000,
        "batch_size": 256,
        "learning_rate": (1e-4, 3e-3),
        "initial_noise": 1.0,
        "annealing": 0.0,
        "prior_hold": 0.0,
    },
}
HELD = {"prior_hold": 0.4}
ANNEALED = {"initial_noise": 4.0, "annealing": 0.4}


def settings(sigma: float) -> dict[str, DenoiseOptions]:
    """The rows of the tables."""
    start = changed(alone(preset_options("balanced", sigma, decoder="mlp")), **START)
    held = changed(start, training=HELD)
    free = changed(held, model={"free_patch_mean": True}, training={"learning_rate": (1e-4, 1e-2)})
    fast = changed(free, training={"learning_rate": (1e-4, 2e-2)})
    rows = {
        "start": start,
        "prior held": held,
        "held, patch mean": changed(held, model={"free_patch_mean": True}),
        "held, annealed": changed(held, training=ANNEALED),
        "held, batches of 64": changed(held, training={"batch_size": 64}),
        "held, rate 1e-2": changed(held, training={"learning_rate": (1e-4, 1e-2)}),
        "F: held, patch mean, rate 1e-2": free,
        "F, annealed": changed(free, training=ANNEALED),
        "F, rate 2e-2": fast,
        "F, hidden 64": changed(free, model={"hidden": (64,)}),
        "F, hidden 256": changed(free, model={"hidden": (256,)}),
        "F, hidden 128-128": changed(free, model={"hidden": (128, 128)}),
        "F, H = 256": changed(free, model={"latents": 256}),
        "F, leak 0.1": changed(free, model={"leak": 0.1}),
        "F, 32 000 patches": changed(free, training={"patch_budget": 32_000, "epochs": 10}),
        "F, sigma learned": changed(free, model={"learn_noise_variance": True}),
        "F, parents by fitness": changed(free, search={"parent_selection": "fitness"}),
        "7x7, rate 4e-2": changed(
            fast, model={"patch_sizes": (7,)}, training={"learning_rate": (1e-4, 4e-2)}
        ),
        "7x7, rate 2e-2, pi 8/H": changed(
            fast, model={"patch_sizes": (7,), "expected_active": 8.0}
        ),
        "7x7, rate 2e-2, 30 epochs": changed(
            fast, model={"patch_sizes": (7,)}, training={"epochs": 30}
        ),
        "9x9, rate 2e-2, annealed from 3": changed(
            fast, model={"patch_sizes": (9,)}, training={"initial_noise": 3.0, "annealing": 0.4}
        ),
    }
    sizes = {
        f"{size}x{size}, rate 2e-2": changed(fast, model={"patch_sizes": (size,)})
        for size in (5, 6, 7, 9, 11)
    }
    return rows | sizes


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
) -> None:
    """Print PSNR and seconds of the VAE alone for each of the settings."""
    compare(settings(sigma), images, sigma=sigma, seeds=seeds, only=only, epochs=epochs)


if __name__ == "__main__":
    typer.run(main)
