"""Settings of the refinement, one factor at a time, from the pilots that a preset's VAEs make.

Entries "non-local refinement", "`best` under weak noise", and "windows and groups once matching
is cheap" of the log.

    PYTHONPATH=docs/experiments python -m refinement_settings windows SET12/0[1-7].png
    PYTHONPATH=docs/experiments python -m refinement_settings weak SET12/0[1-4].png --sigma 15
    PYTHONPATH=docs/experiments python -m refinement_settings anchors SET12/02.png --seeds 2
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from ablation import refined
from denoise.options import RefinementOptions
from denoise.pipeline import denoise_image
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
    print_psnrs,
    with_epochs,
)

# The refinement of `balanced` when the entry "non-local refinement" was written.
FIRST: dict[str, Any] = {"window": 20, "wiener_group": 32}
NINE_PASSES = (1.0, *[0.1] * 8)
ANCHORS: dict[str, dict[str, Any]] = {
    "Wiener": {**FIRST, "feedback": ()},
    "Wiener, twice": {**FIRST, "feedback": (), "rounds": 2},
    "Wiener, three times": {**FIRST, "feedback": (), "rounds": 3},
    "low rank, 9 passes, no anchor": {**FIRST, "feedback": NINE_PASSES, "anchoring": 0.0},
    "WNNM's schedule: 7x7, 12 passes, no anchor": {
        **FIRST,
        "patch_sizes": (7,),
        "feedback": (1.0, *[0.1] * 11),
        "anchoring": 0.0,
    },
    "anchor 25 %, 4 passes": FIRST,
    "anchor 40 %, 3 passes": {**FIRST, "anchoring": 0.4, "feedback": (1.0, 0.2, 0.1)},
    "anchor 20 %, 8 passes": {
        **FIRST,
        "anchoring": 0.2,
        "feedback": (1.0, 0.2, *[0.1] * 6),
    },
    "feedback 0.5, 0.3, 0.2, 0.1": {**FIRST, "feedback": (0.5, 0.3, 0.2, 0.1)},
    "7x7": {**FIRST, "patch_sizes": (7,)},
    "a second round": {**FIRST, "rounds": 2},
    "window 28": {**FIRST, "window": 28},
    "references every 2 pixels": {**FIRST, "stride": 2},
}
BEFORE: dict[str, Any] = {"window": 24, "wiener_group": 24, "rounds": 1}
WEAK: dict[str, dict[str, Any]] = {
    "6x6, window 20": {**BEFORE, "patch_sizes": (6,), "window": 20},
    "6x6 and 7x7, two rounds": {**BEFORE, "patch_sizes": (6, 7), "rounds": 2},
    "6x6 and 7x7": {**BEFORE, "patch_sizes": (6, 7)},
    "5x5 and 6x6": {**BEFORE, "patch_sizes": (5, 6)},
    "5x5 and 7x7": {**BEFORE, "patch_sizes": (5, 7)},
    "noise share 0.5": {**BEFORE, "patch_sizes": (6, 7), "noise_share": 0.5},
    "noise share 0.62": {**BEFORE, "patch_sizes": (6, 7), "noise_share": 0.62},
    "anchor 0.4": {**BEFORE, "patch_sizes": (6, 7), "anchoring": 0.4},
    "Wiener groups of 40": {**BEFORE, "patch_sizes": (6, 7), "wiener_group": 40},
    "six low-rank passes": {
        **BEFORE,
        "patch_sizes": (6, 7),
        "feedback": (1.0, 0.2, *[0.1] * 4),
    },
    "references every 2 pixels": {**BEFORE, "patch_sizes": (6, 7), "stride": 2},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "20, 24": {"window": 20, "wiener_group": 24},
    "28, 24": {"window": 28, "wiener_group": 24},
    "32, 24": {"window": 32, "wiener_group": 24},
    "36, 24": {"window": 36, "wiener_group": 24},
    "45, 24": {"window": 45, "wiener_group": 24},
    "32, 32": {"window": 32, "wiener_group": 32},
    "32, 20": {"window": 32, "wiener_group": 20},
    "32, 16": {"window": 32, "wiener_group": 16},
    "40, 20": {"window": 40, "wiener_group": 20},
    "32, 24, low-rank groups of 60": {"window": 32, "wiener_group": 24, "low_rank_group": 60},
    "32, 24, low-rank groups of 80": {"window": 32, "wiener_group": 24, "low_rank_group": 80},
    "32, 24, references every 2 pixels": {"window": 32, "wiener_group": 24, "stride": 2},
    "32, 24, two rounds": {"window": 32, "wiener_group": 24, "rounds": 2},
    "32, 24, 6x6 and 7x7": {"window": 32, "wiener_group": 24, "patch_sizes": (6, 7)},
    "32, 24, 5x5 and 7x7": {"window": 32, "wiener_group": 24, "patch_sizes": (5, 7)},
    "32, 24, 7x7": {"window": 32, "wiener_group": 24, "patch_sizes": (7,)},
}
# The preset that makes the pilots, and the rows.
TABLES = {
    "anchors": ("balanced", ANCHORS),
    "weak": ("best", WEAK),
    "windows": ("balanced", WINDOWS),
}


def pilot(sample: Sample, preset_name: str, epochs: int | None) -> Image:
    """The image of a preset's VAEs, without refinement."""
    options = with_epochs(alone(preset_options(preset_name, sample.sigma)), epochs)
    return denoise_image(sample.noisy, sample.sigma, options=options, device="cpu").image


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
    preset_name, rows = TABLES[table]
    noisy = noisy_samples(images, sigma, seeds)
    pilots = {
        sample.name: sample.noisy if from_noise else pilot(sample, preset_name, epochs)
        for sample in noisy
    }
    usual = preset_options("balanced", sigma).refinement or RefinementOptions()

    def run(name: str, sample: Sample) -> Image:
        options = replace(usual, **rows[name])
        return refined(sample.noisy, pilots[sample.name], sigma, options)

    print_psnrs(chosen(rows, only), noisy, run)


if __name__ == "__main__":
    typer.run(main)
