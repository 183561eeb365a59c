"""How the amplitude model learns best, one factor at a time.

Entries "Gaussian amplitudes in a compiled kernel" and "the amplitude model learns from all
patches, in small steps" of the log.

    PYTHONPATH=docs/experiments python -m amplitude_settings SET12/02.png --seeds 2
"""

from __future__ import annotations

from typing import Any

import typer

from denoise.options import DenoiseOptions
from trials import Epochs, Images, Only, Seeds, Sigma, alone, changed, compare, preset_options

EVERY_PATCH = 2**16
# Batch EM: one update of W an epoch, which forgets all epochs before.
ONE_UPDATE: dict[str, Any] = {"batch_size": EVERY_PATCH, "memory": 1.0}


def settings(sigma: float) -> dict[str, DenoiseOptions]:
    """The rows of both tables; "16 updates" are those of an epoch on a 256×256 image."""
    some = changed(
        alone(preset_options("balanced", sigma)),
        model={"patch_sizes": (8,), "latents": 256},
        training={
            **ONE_UPDATE,
            "epochs": 24,
            "patch_budget": 16_000,
            "annealing": 15 / 24,
            "prior_hold": 10 / 24,
        },
    )
    every = changed(
        some,
        training={
            "epochs": 12,
            "patch_budget": EVERY_PATCH,
            "batch_size": 4096,
            "memory": 0.5,
            "annealing": 0.6,
            "prior_hold": 0.4,
        },
    )
    large = changed(every, model={"latents": 512})
    return {
        "16 000 patches, one update": some,
        "annealed from 8": changed(some, training={"initial_noise": 8.0}),
        "all patches, one update": changed(some, training={"patch_budget": EVERY_PATCH}),
        "48 epochs": changed(some, training={"epochs": 48}),
        "4 parents, 12 neighbours": changed(some, search={"parents": 4, "children": 12}),
        "pi starts at 8/H": changed(some, model={"expected_active": 8.0}),
        "k <= 12, S = 32": changed(some, model={"max_active": 12}, search={"states": 32}),
        "6x6": changed(some, model={"patch_sizes": (6,)}),
        "10x10": changed(some, model={"patch_sizes": (10,)}),
        "H = 512": changed(some, model={"latents": 512}),
        "16 000 patches, 8 updates": changed(some, training={"batch_size": 2000}),
        "all, 12 x 8": changed(every, training={"batch_size": 8192, "memory": 1.0}),
        "all, 12 x 16": every,
        "all, 12 x 16, H = 512": large,
        "all, 6 x 16, H = 512": changed(large, training={"epochs": 6}),
        "all, 12 x 32, H = 512": changed(large, training={"batch_size": 2048, "memory": 0.3}),
        "prior never learned": changed(large, training={"prior_hold": 1.0}),
        "no annealing": changed(large, training={"initial_noise": 1.0, "annealing": 0.0}),
        "H = 512, annealed from 8": changed(large, training={"initial_noise": 8.0}),
        "6x6, 12 x 16, H = 512": changed(large, model={"patch_sizes": (6,)}),
        "6x6, 6 x 16, H = 512": changed(large, model={"patch_sizes": (6,)}, training={"epochs": 6}),
    }


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
