"""What parents, mutation and crossover are worth to the published model.

Entry "the published settings, shortened" of the log.

    PYTHONPATH=docs/experiments python -m search_operators SET12/02.png --seeds 2
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trials import (
    Images,
    Only,
    Seeds,
    Sigma,
    changed,
    chosen,
    learned_vae,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
)

OPERATORS: dict[str, dict[str, Any]] = {
    "fitness, random": {},
    "best, random": {"parent_selection": "best"},
    "uniform, random": {"parent_selection": "uniform"},
    "fitness, sparse": {"mutation": "sparse"},
    "fitness, random, crossover": {"crossover": True},
    "best, guided": {"parent_selection": "best", "mutation": "guided"},
}


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = 20,
    patches: Annotated[int, typer.Option(help="Use at most this many for training.")] = 1600,
) -> None:
    """Print the mean ELBO per patch after a quarter, half and all of the epochs."""
    shown = sorted({max(epochs // 4, 1), max(epochs // 2, 1), epochs})
    print_header("image", "parents, mutation", *(f"epoch {epoch}" for epoch in shown))
    for sample in noisy_samples(images, sigma, seeds):
        for name in chosen(OPERATORS, only):
            options = changed(
                preset_options("paper", sigma),
                search=OPERATORS[name],
                training={"epochs": epochs, "patch_budget": patches},
            )
            history = learned_vae(sample, options).history
            elbos = (f"{history[epoch - 1].elbo:.1f}" for epoch in shown)
            print_row(sample.name, name, *elbos)


if __name__ == "__main__":
    typer.run(main)
