"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import Any, cast

import typer

from denoise.cli import options as o
from denoise.errors import DenoiseError, OptionError, PlanError
from denoise.methods.table import METHODS
from denoise.options import OWN_MODEL
from denoise.presets import DEFAULT_PRESET

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_STARTED = time.perf_counter()


def _uptime() -> float:
    """Seconds since this module was loaded, and what came before."""
    return time.perf_counter() - _STARTED + 0.2


def _refuse_together(name: str, value: object, others: dict[str, object]) -> None:
    """Raise if an option is used with one of the others."""
    for other, other_value in others.items():
        if value and other_value not in (None, False):
            raise typer.BadParameter(f"cannot be used with {name}", param_hint=other)


@app.command()
def denoise(
    images: o.Images,
    *,
    sigma: o.Sigma = None,
    noise: o.Noise = "gaussian",
    sensor: o.Sensor = None,
    output: o.Output = None,
    recursive: o.Recursive = False,
    suffix: o.Suffix = None,
    overwrite: o.Overwrite = False,
    skip_existing: o.SkipExisting = False,
    fail_fast: o.FailFast = False,
    jobs: o.Jobs = 1,
    reference: o.Reference = None,
    figure: o.Figure = None,
    curve: o.Curve = None,
    uncertainty: o.Uncertainty = None,
    save_model: o.SaveModel = None,
    load_model: o.LoadModel = None,
    show_model: o.ShowModel = None,
    model: o.Model = OWN_MODEL,
    preset_name: o.Preset = None,
    decoder: o.DecoderName = None,
    epochs: o.Epochs = None,
    training_patches: o.TrainingPatches = None,
    time_budget: o.TimeBudget = None,
    learn_sigma: o.LearnSigma = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    frame: o.Frame = None,
    max_pixels: o.MaxPixels = None,
    strip: o.Strip = False,
    fill_missing: o.FillMissing = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    version: o.Version = False,
) -> None:
    """Denoise images, each with a model learned from this image alone."""
    _refuse_together(
        "--load-model",
        load_model,
        {
            "--decoder": decoder,
            "--epochs": epochs,
            "--training-patches": training_patches,
            "--learn-sigma/--fix-sigma": None if learn_sigma is None else True,
            "--save-model": save_model,
            "--curve": curve,
        },
    )
    kind = "ours" if model == OWN_MODEL else METHODS[model].kind
    _refuse_together(f"--method {model}", model != OWN_MODEL, {"--preset": preset_name})
    _refuse_together(
        f"--method {model}",
        kind in ("network", "classic"),
        {"--epochs": epochs, "--training-patches": training_patches},
    )
    _refuse_together(
        f"--method {model}",
        kind != "ours",
        {
            "--decoder": decoder,
            "--time-budget": time_budget,
            "--learn-sigma/--fix-sigma": None if learn_sigma is None else True,
            "--curve": curve,
            "--uncertainty": uncertainty,
            "--save-model": save_model,
            "--load-model": load_model,
            "--show-model": show_model,
        },
    )
    _refuse_together("--time-budget", time_budget, {"--epochs": epochs})
    _refuse_together("--skip-existing", skip_existing, {"--overwrite": overwrite})
    _refuse_together("--noise poisson-gaussian", noise != "gaussian", {"--sigma": sigma})
    _refuse_together("--noise gaussian", noise == "gaussian", {"--sensor": sensor})
    _refuse_together("--quiet", quiet, {"--verbose": verbose})
    to_stdout = output == "-" or (output is None and images == ["-"])
    _refuse_together("an image on stdout", to_stdout, {"--json": json})
    if to_stdout and (sys.stdout is None or sys.stdout.isatty()):
        raise typer.BadParameter("an image does not go to a terminal; use -o FILE or a pipe")
    # Waiting threads should sleep: nothing is lost, and much gained on a busy machine. OpenMP
    # reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # These need torch, which `--help` must not wait for.
    from denoise.cli.jobs import Settings
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise

    try:
        settings = Settings(
            sigma=sigma,
            noise=cast(Any, noise),
            sensor=None if sensor is None else PoissonGaussianNoise(*sensor),
            model=model,
            preset=preset_name or DEFAULT_PRESET,
            decoder=cast(Any, decoder),
            epochs=epochs,
            training_patches=training_patches,
            learn_sigma=learn_sigma,
            time_budget=time_budget,
            seed=seed,
            device=device,
            overwrite=overwrite,
            skip_existing=skip_existing,
            frame=frame,
            max_pixels=max_pixels,
            strip=strip,
            fill_missing=fill_missing,
        )
    except OptionError as error:
        raise typer.BadParameter(str(error)) from None
    from denoise.cli.console import run_and_report
    from denoise.cli.plan import plan_jobs
    from denoise.devices import device_note, pick_device

    try:
        plan = plan_jobs(
            images,
            output,
            suffix=suffix,
            recursive=recursive,
            reference=reference,
            load_model=load_model,
            extras={
                "figure": figure,
                "curve": curve,
                "uncertainty": uncertainty,
                "save_model": save_model,
                "show_model": show_model,
            },
        )
    except PlanError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        note = device_note(pick_device(device))
        if note is not None and not quiet:
            typer.echo(f"note: {note}", err=True)
        code = run_and_report(
            plan,
            settings,
            processes=jobs,
            fail_fast=fail_fast,
            json=json,
            quiet=quiet,
            verbose=verbose,
            seconds_used=_uptime(),
        )
    except DenoiseError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def main() -> None:
    """What the command runs; a file called "benchmark" is ./benchmark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that are not in its encoding
    if sys.argv[1:2] == ["benchmark"]:
        from denoise.benchmark.command import app as benchmark

        benchmark(sys.argv[2:], prog_name="denoise benchmark")
    else:
        app(prog_name="denoise")
