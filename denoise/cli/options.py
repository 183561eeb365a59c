"""The options of the command line: names, checks and help texts. No torch here."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, get_args

import typer

from denoise import __version__
from denoise.methods.table import METHODS
from denoise.options import OWN_MODEL, Decoder, NoiseKind
from denoise.presets import DEFAULT_PRESET, PRESETS


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"denoise {__version__}")
        raise typer.Exit


def _parse_sigma(text: str) -> float | None:
    if text.strip().lower() == "auto":
        return None
    try:
        sigma = float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number or auto, got {text!r}") from None
    if not 0 < sigma < math.inf:
        raise typer.BadParameter(f"must be a positive finite number, got {sigma}")
    return sigma


def _parse_time(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(s|sec|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"must be a time such as 30s or 5min, got {text!r}")
    return float(match[1]) * {"m": 60, "h": 3600}.get((match[2] or "s")[0], 1)


def _parse_sensor(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not 2 <= len(values) <= 3 or not all(map(math.isfinite, values)):
        raise typer.BadParameter(f"must be numbers such as 1.5,4 or 1.5,4,100, got {text!r}")
    if min(values[:2]) < 0 or max(values[:2]) == 0:
        raise typer.BadParameter(f"must be at least 0 and not both 0, got {text!r}")
    return values


def _check_preset(name: str | None) -> str | None:
    if name is not None and name not in PRESETS:
        raise typer.BadParameter(
            f"there is no preset {name!r}; choose {', '.join(PRESETS[:-1])} or {PRESETS[-1]}"
        )
    return name


def _check_model(name: str) -> str:
    if name not in (OWN_MODEL, *METHODS):
        known = ", ".join((OWN_MODEL, *METHODS))
        raise typer.BadParameter(f"there is no method {name!r}; choose one of {known}")
    return name


def _check_decoder(name: str | None) -> str | None:
    if name is not None and name not in get_args(Decoder):
        known = " or ".join(get_args(Decoder))
        raise typer.BadParameter(f"there is no decoder {name!r}; choose {known}")
    return name


def _check_noise(name: str) -> str:
    kinds = get_args(NoiseKind)
    if name not in kinds:
        raise typer.BadParameter(f"there is no noise {name!r}; choose {' or '.join(kinds)}")
    return name


def _option(*names: str, metavar: str | None = None, help: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, **more)


_FOLDER = " A folder if there are several images."

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Noisy images: files, folders, patterns such as '*.png', or - for stdin.",
    ),
]
Sigma = Annotated[
    float | None,
    _option(
        metavar="SIGMA",
        parser=_parse_sigma,
        help="Standard deviation of the noise, in gray levels of 0..255 for integer images of any"
        " depth, in their own units for floats; auto estimates it.",
        show_default="auto",
    ),
]
Noise = Annotated[
    str,
    _option(
        metavar="KIND",
        callback=_check_noise,
        help="gaussian, or poisson-gaussian for noise that grows with the light.",
    ),
]
Sensor = Annotated[
    Any,
    _option(
        metavar="GAIN,READ[,OFFSET]",
        parser=_parse_sensor,
        help="Of poisson-gaussian noise: variance per signal, sigma and level without light;"
        " else estimated.",
    ),
]
Output = Annotated[
    str | None,
    _option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write; else IMAGE_denoised next to each image. A folder (it, or a name with"
        " / at its end) mirrors the tree; - is stdout.",
    ),
]
Recursive = Annotated[bool, _option("--recursive", "-r", help="Search folders in folders, too.")]
Suffix = Annotated[
    str | None,
    _option(
        metavar="TEXT",
        help="Added to the names of results; else _denoised, or nothing in another folder.",
    ),
]
Overwrite = Annotated[bool, _option("--overwrite", help="Replace files that exist already.")]
SkipExisting = Annotated[
    bool, _option("--skip-existing", help="Leave images alone that have their result already.")
]
FailFast = Annotated[bool, _option("--fail-fast", help="Stop at the first failure.")]
Jobs = Annotated[int, _option("--jobs", "-j", metavar="N", min=1, help="So many images at a time.")]
Reference = Annotated[
    str | None,
    _option(
        metavar="FILE",
        help="Clean image to measure PSNR and SSIM against, or a folder with images of the same"
        " names.",
    ),
]
Figure = Annotated[
    str | None,
    _option(metavar="FILE", help="Also draw the images side by side, with details." + _FOLDER),
]
Curve = Annotated[
    str | None,
    _option(metavar="FILE", help="Also write the ELBO of every epoch: .csv or .png." + _FOLDER),
]
Uncertainty = Annotated[
    str | None,
    _option(
        metavar="FILE",
        help="Also write every pixel's standard deviation under the VAE: .npy or an image."
        + _FOLDER,
    ),
]
SaveModel = Annotated[
    str | None,
    _option(metavar="FILE", help="Also write the learned model, as .npz." + _FOLDER),
]
LoadModel = Annotated[
    str | None,
    _option(metavar="FILE", help="Use a model from --save-model instead of learning."),
]
ShowModel = Annotated[
    str | None, _option(metavar="FILE", help="Also draw the learned patches, by use." + _FOLDER)
]
_OTHERS = [name for name in METHODS if name not in PRESETS]
Model = Annotated[
    str,
    _option(
        "--method",
        "--model",
        metavar="NAME",
        callback=_check_model,
        help=f"{OWN_MODEL}, ours; or, to compare, {', '.join(_OTHERS)}.",
    ),
]
Preset = Annotated[
    str | None,
    _option(
        "--preset",
        metavar="NAME",
        callback=_check_preset,
        help=f"{', '.join(PRESETS)} (as published: hours on a CPU).",
        show_default=DEFAULT_PRESET,
    ),
]
DecoderName = Annotated[
    str | None,
    _option(
        "--decoder",
        metavar="NAME",
        callback=_check_decoder,
        help="amplitude (Gaussian amplitudes) or mlp (as published); else the preset's.",
    ),
]
Epochs = Annotated[
    int | None, _option(metavar="N", min=1, help="Passes over the training patches.")
]
TrainingPatches = Annotated[
    int | None, _option(metavar="N", min=1, help="Train on at most so many patches.")
]
TimeBudget = Annotated[
    float | None,
    _option(
        metavar="TIME",
        parser=_parse_time,
        help="Do the best in this time for each image, such as 30s or 5min.",
    ),
]
LearnSigma = Annotated[
    bool | None, _option("--learn-sigma/--fix-sigma", help="Whether the model may correct sigma.")
]
Seed = Annotated[
    int, _option(metavar="N", min=0, max=2**31 - 1, help="The same seed gives the same file.")
]
Device = Annotated[
    str, _option(metavar="NAME", help="auto (a CUDA GPU if there is one), cpu, cuda, cuda:N, mps.")
]
Frame = Annotated[
    int | None, _option(metavar="N", min=1, help="Which page or frame of several, from 1.")
]
MaxPixels = Annotated[
    int | None, _option(metavar="N", min=1, help="Refuse larger images; else 89 million pixels.")
]
Strip = Annotated[
    bool, _option("--strip", help="Leave out metadata, colour profile and orientation too.")
]
FillMissing = Annotated[
    bool, _option("--fill-missing", help="Fill in pixels that are NaN or infinite.")
]
Json = Annotated[bool, _option("--json", help="Print a JSON object for each image, no summary.")]
Quiet = Annotated[bool, _option("--quiet", "-q", help="No progress, no summary.")]
Verbose = Annotated[bool, _option("--verbose", "-v", help="Tell the settings and every epoch.")]
Version = Annotated[
    bool,
    _option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]
