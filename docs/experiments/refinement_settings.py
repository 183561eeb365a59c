"""Settings of the refinement, one factor at a time, from the pilots that a preset's VAEs make.

Entry "one chain of filters in place of two" of the log.

    PYTHONPATH=docs/experiments python -m refinement_settings chain SET12/0[1-7].png
    PYTHONPATH=docs/experiments python -m refinement_settings groups SET12/0[1-7].png
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from ablation import refined
from denoise.options import RefinementOptions
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
    denoised,
    noisy_samples,
    preset_options,
    print_psnrs,
    with_epochs,
)


def _falling(passes: int, start: float = 0.75) -> tuple[float, ...]:
    """Noise that is kept by passes of a chain, evenly falling from `start` to 0."""
    return tuple(start * (1 - step / passes) for step in range(1, passes + 1))


CHAIN: dict[str, dict[str, Any]] = {
    "1 pass within patches, then 6 from both sides": {},
    "0, then 6": {"wiener_passes": 0},
    "2, then 6": {"wiener_passes": 2},
    "1, then 1": {"noise_kept": _falling(1)},
    "1, then 2": {"noise_kept": _falling(2)},
    "1, then 4": {"noise_kept": _falling(4)},
    "1, then 8": {"noise_kept": _falling(8)},
    "from 0.6": {"noise_kept": _falling(6, 0.6)},
    "from 0.9": {"noise_kept": _falling(6, 0.9)},
    "groups found for every pass": {"passes_per_match": 1},
    "groups found for every third pass": {"passes_per_match": 3},
    "groups of 16 within patches": {"wiener_group": 16},
}
GROUPS: dict[str, dict[str, Any]] = {
    "6x6, 40, window 31": {},
    "groups of 24": {"group_size": 24},
    "groups of 32": {"group_size": 32},
    "groups of 48": {"group_size": 48},
    "groups of 64": {"group_size": 64},
    "window 20": {"window": 20},
    "window 24": {"window": 24},
    "window 40": {"window": 40},
    "references every 2 pixels": {"stride": 2},
    "references every 4 pixels": {"stride": 4},
    "5x5": {"patch_sizes": (5,)},
    "7x7": {"patch_sizes": (7,)},
    "5x5 and 7x7": {"patch_sizes": (5, 7)},
}
TABLES = {"chain": CHAIN, "groups": GROUPS}


def pilot(sample: Sample, epochs: int | None) -> Image:
    """The image of the VAE of `fast`, without refinement."""
    return denoised(sample, with_epochs(alone(preset_options("fast", sample.sigma)), epochs))


def main(
    table: Annotated[str, typer.Argument(help=f"One of {', '.join(TABLES)}.")],
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
    from_noise: Annotated[
        bool, typer.Option("--from-noise", help="Start from the noisy image, without a VAE.")
    ] = False,
) -> None:
    """Print PSNR of the refined images and seconds of the refinement."""
    if table not in TABLES:
        raise typer.BadParameter(f"there is no table {table!r}; choose from {', '.join(TABLES)}")
    rows = TABLES[table]
    noisy = noisy_samples(images, sigma, seeds)
    pilots = {
        sample.name: sample.noisy if from_noise else pilot(sample, epochs) for sample in noisy
    }
    usual = RefinementOptions()

    def run(name: str, sample: Sample) -> Image:
        options = replace(usual, **rows[name])
        return refined(sample.noisy, pilots[sample.name], sigma, options)

    print_psnrs(chosen(rows, only), noisy, run)


if __name__ == "__main__":
    typer.run(main)
