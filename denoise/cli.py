"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from denoise import __version__
from denoise.errors import DenoiseError
from denoise.presets import DEFAULT_PRESET, PRESETS, override, preset

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"denoise {__version__}")
        raise typer.Exit


def _check_sigma(sigma: float) -> float:
    if not 0 < sigma < math.inf:
        raise typer.BadParameter(f"must be a positive finite number, got {sigma}")
    return sigma


def _check_preset(name: str) -> str:
    if name not in PRESETS:
        raise typer.BadParameter(f"there is no preset {name!r}; choose {' or '.join(PRESETS)}")
    return name


@app.command()
def denoise(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="Noisy image, 8-bit gray or RGB: PNG, JPEG or TIFF."),
    ],
    *,
    sigma: Annotated[
        float,
        typer.Option(
            metavar="SIGMA",
            callback=_check_sigma,
            help="Standard deviation of the noise, in gray levels of 0..255.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write; else IMAGE_denoised next to it."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Clean image to measure PSNR and SSIM against."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write noisy, denoised, reference side by side."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist already.")
    ] = False,
    preset_name: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            callback=_check_preset,
            help=f"Settings: {' or '.join(PRESETS)} (as published: hours on a CPU).",
        ),
    ] = DEFAULT_PRESET,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Passes over the training patches."),
    ] = None,
    training_patches: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Train on at most so many patches."),
    ] = None,
    learn_sigma: Annotated[
        bool | None,
        typer.Option("--learn-sigma/--fix-sigma", help="Whether the model may correct sigma."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**31 - 1, help="The same seed gives the same file."),
    ] = 0,
    device: Annotated[
        str,
        typer.Option(metavar="NAME", help="auto (a GPU if there is one), cpu, cuda, cuda:N, mps."),
    ] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object, no summary.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell the settings and every epoch.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Denoise IMAGE with a model learned from this image alone."""
    # These need torch, which `--help` must not wait for.
    from denoise.files import default_output, denoise_file
    from denoise.progress import show_progress

    options = override(
        preset(preset_name, sigma),
        epochs=epochs,
        patch_budget=training_patches,
        learn_noise_variance=learn_sigma,
    )
    if verbose:
        typer.echo(f"settings: {options}", err=True)
    silent = nullcontext(lambda progress: None)
    try:
        with silent if quiet else show_progress(every_step=verbose) as on_progress:
            report = denoise_file(
                image,
                sigma,
                output=output or default_output(image),
                options=options,
                preset_name=preset_name,
                seed=seed,
                device=device,
                reference_path=reference,
                figure_path=figure,
                overwrite=overwrite,
                on_progress=on_progress,
            )
    except DenoiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if json:
        typer.echo(report.json())
    elif not quiet:
        typer.echo(report.summary())
