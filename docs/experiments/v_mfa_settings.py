"""v-MFA with other settings: patches, components, factors, loadings, merging.

Entry "a mixture of factor analysers" of the log.

    PYTHONPATH=docs/experiments python -m v_mfa_settings SET12/0[125].png
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import typer

from denoise.methods.mfa.mfa_model import MFAOptions
from denoise.methods.mfa.v_mfa import PUBLISHED, denoise_with_v_mfa
from trials import (
    Epochs,
    Image,
    Images,
    Only,
    Sample,
    Seeds,
    Sigma,
    chosen,
    noisy_samples,
    print_psnrs,
)

DEFAULT = MFAOptions()
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "merged by the mean": {"merge": "mean"},
    "100 components": {"components": 100},
    "300 components": {"components": 300},
    "6x6": {"patch_size": 6},
    "7x7": {"patch_size": 7},
    "10x10": {"patch_size": 10},
    "8 factors": {"factors": 8},
    "24 factors": {"factors": 24},
    "means of patches modelled": {"free_patch_mean": False},
    "noise learned": {"learn_noise_variance": True},
    "point, 6 factors": {"loadings": "point", "factors": 6},
    "point, 8 factors": {"loadings": "point", "factors": 8},
    "point, 16 factors": {"loadings": "point"},
    "1 component kept": {"kept": 1},
    "5 components kept": {"kept": 5},
}
ROWS: dict[str, MFAOptions] = {
    **{name: replace(DEFAULT, **change) for name, change in CHANGES.items()},
    "published": PUBLISHED,
    "published, merged by the mean": replace(PUBLISHED, merge="mean"),
}


def main(
    images: Images,
    sigma: Sigma = 25.0,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
) -> None:
    """Denoise every image with each of the settings; print PSNR and median seconds."""

    def run(name: str, sample: Sample) -> Image:
        options = ROWS[name]
        if epochs is not None:
            options = replace(options, training=replace(options.training, epochs=epochs))
        return denoise_with_v_mfa(sample.noisy, sample.sigma, options).image

    print_psnrs(chosen(ROWS, only), noisy_samples(images, sigma, seeds), run)


if __name__ == "__main__":
    typer.run(main)
