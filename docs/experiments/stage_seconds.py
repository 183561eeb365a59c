"""Processor seconds of the stages of a run, and of each kind of pass of the refinement.

Entry "colour at some one and a half times gray" of the log.

    PYTHONPATH=docs/experiments OMP_NUM_THREADS=1 python -m stage_seconds IMAGE... --seeds 1,1
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any
from unittest.mock import patch

import typer

from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    denoised,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

# The functions that are timed, by module and name, and how a row is called.
STAGES: dict[str, Callable[..., str]] = {
    "denoise.pipeline.stages.learn_vae": lambda *_, **__: "learn",
    "denoise.pipeline.stages.apply_vae": lambda *_, **__: "rebuild",
    "denoise.refinement.refine.similar_patches": lambda *_, **__: "match",
    "denoise.refinement.refine.filter_image": lambda *_, across_patches=True, **__: (
        "filter from both sides" if across_patches else "filter within patches"
    ),
}


def timed(function: Callable[..., Any], name: Callable[..., str], seconds: dict[str, float]) -> Any:
    """The same function, which adds its processor time to that of its row."""

    def run(*arguments: Any, **options: Any) -> Any:
        started = time.process_time()
        result = function(*arguments, **options)
        row = name(*arguments, **options)
        seconds[row] = seconds.get(row, 0.0) + time.process_time() - started
        return result

    return run


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    epochs: Epochs = None,
    preset: Annotated[str, typer.Option(help="Whose stages are timed.")] = "fast",
) -> None:
    """Print processor seconds of each stage, and what is left over of the whole call."""
    options = with_epochs(preset_options(preset, sigma), epochs)
    print_header("image", "stage", "seconds", "PSNR")
    for sample in noisy_samples(images, sigma, seeds):
        denoised(sample, options)  # loads the compiled loops
        seconds: dict[str, float] = {}
        patches = [
            patch(place, timed(_found(place), name, seconds)) for place, name in STAGES.items()
        ]
        for one in patches:
            one.start()
        started = time.process_time()
        result = denoised(sample, options)
        whole = time.process_time() - started
        for one in patches:
            one.stop()
        for stage, spent in seconds.items():
            print_row(sample.name, stage, f"{spent:.2f}", "")
        print_row(sample.name, "the rest", f"{whole - sum(seconds.values()):.2f}", "")
        print_row(sample.name, "all", f"{whole:.2f}", f"{sample.psnr(result):.2f}")


def _found(place: str) -> Callable[..., Any]:
    module, _, name = place.rpartition(".")
    function: Callable[..., Any] = getattr(__import__(module, fromlist=[name]), name)
    return function


if __name__ == "__main__":
    typer.run(main)
