"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

import math
import os
import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from denoise import __version__
from denoise.errors import DenoiseError, OptionError
from denoise.options import Decoder
from denoise.presets import DEFAULT_PRESET, PRESETS, override, preset

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


_STARTED = time.perf_counter()


def _uptime() -> float:
    """Seconds since this module was loaded, and what came before."""
    return time.perf_counter() - _STARTED + 0.2


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
        raise typer.BadParameter(
            f"there is no preset {name!r}; choose {', '.join(PRESETS[:-1])} or {PRESETS[-1]}"
        )
    return name


def _parse_time(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(s|sec|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"must be a time such as 30s or 5min, got {text!r}")
    return float(match[1]) * {"m": 60, "h": 3600}.get((match[2] or "s")[0], 1)


def _check_decoder(name: str | None) -> str | None:
    if name is not None and name not in get_args(Decoder):
        known = " or ".join(get_args(Decoder))
        raise typer.BadParameter(f"there is no decoder {name!r}; choose {known}")
    return name


def _refuse_together(name: str, value: object, others: dict[str, object]) -> None:
    for other, other_value in others.items():
        if value is not None and other_value is not None:
            raise typer.BadParameter(f"cannot be used with {name}", param_hint=other)


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
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write every pixel's standard deviation under the VAE: .npy or an image.",
        ),
    ] = None,
    save_model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the learned model, as .npz.")
    ] = None,
    load_model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use a model from --save-model instead of learning."),
    ] = None,
    show_model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the learned patches, by use."),
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
            help=f"{', '.join(PRESETS)} (as published: hours on a CPU).",
        ),
    ] = DEFAULT_PRESET,
    decoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=_check_decoder,
            help="amplitude (Gaussian amplitudes) or mlp (as published); else the preset's.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Passes over the training patches."),
    ] = None,
    training_patches: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Train on at most so many patches."),
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=_parse_time,
            help="Do the best in this time, such as 30s or 5min, start-up included.",
        ),
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
    _refuse_together(
        "--load-model",
        load_model,
        {
            "--decoder": decoder,
            "--epochs": epochs,
            "--training-patches": training_patches,
            "--learn-sigma": learn_sigma,
        },
    )
    _refuse_together("--time-budget", time_budget, {"--epochs": epochs})
    # Waiting threads should sleep: nothing is lost, and much gained on a busy machine. OpenMP
    # reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # These need torch, which `--help` must not wait for.
    from denoise.files import FileJob, default_output, denoise_file
    from denoise.progress import show_progress

    try:
        options = preset(preset_name, sigma, cast("Decoder | None", decoder))
    except OptionError as error:
        raise typer.BadParameter(str(error), param_hint="--decoder") from None
    options = override(
        options,
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
                FileJob(
                    image,
                    output or default_output(image),
                    reference=reference,
                    figure=figure,
                    uncertainty=uncertainty,
                    load_model=load_model,
                    save_model=save_model,
                    show_model=show_model,
                    overwrite=overwrite,
                ),
                sigma,
                options=options,
                preset_name=preset_name,
                seed=seed,
                device=device,
                time_budget=None if time_budget is None else time_budget - _uptime(),
                on_progress=on_progress,
            )
    except DenoiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if json:
        typer.echo(report.json())
    elif not quiet:
        typer.echo(report.summary())
