"""Values that are more than a word or a number: texts of options, and what they mean."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import typer

from denoise.errors import OptionError
from denoise.options import NoiseKind

if TYPE_CHECKING:
    from denoise.noise.interface import Noise
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise

    KindOfNoise = NoiseKind
else:  # what the parser sees: it makes the one by `parse_kind`
    KindOfNoise = Any

SECONDS = {"ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_sigma(text: str) -> float | None:
    """A noise level; None for "auto"."""
    if text.strip().lower() == "auto":
        return None
    try:
        sigma = float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number or auto, got {text!r}") from None
    if not 0 <= sigma < math.inf:
        raise typer.BadParameter(f"must be a finite number of at least 0, got {sigma}")
    return sigma


def parse_share(text: str | float) -> float:
    """A number from 0 to 1."""
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"must be a number from 0 to 1, got {text!r}")
    return share


def parse_time(text: str) -> float:
    """Seconds; a number without a unit counts seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(ms|s|sec|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"must be a time such as 30s or 5min, got {text!r}")
    return float(match[1]) * SECONDS.get(match[2], 1.0)


def parse_axes(text: str) -> str:
    """Letters of the axes of a file, such as TCYX, and lengths of some, such as T6C2YX."""
    names = text.strip().upper()
    letters = re.sub(r"(?<=[A-RT-WZ])[1-9][0-9]{0,8}", "", names)
    if not re.fullmatch(r"[A-Z]{1,8}", letters) or len(set(letters)) < len(letters):
        raise typer.BadParameter(
            "must be different letters, such as TCYX, all but Y, X and S perhaps with a length,"
            f" such as T6C2YX, got {text!r}"
        )
    return names


def parse_cluster(text: str) -> str:
    """The address of a Dask scheduler, or how many processes to start on this machine."""
    if re.fullmatch(r"local:[1-9]\d*|(?!local:)([a-z]+://)?[^/\s]+:\d+", text, re.ASCII) is None:
        raise typer.BadParameter(
            f"must be a scheduler's address such as tcp://host:8786, or local:N, got {text!r}"
        )
    return text


def parse_sensor(text: str) -> PoissonGaussianNoise:
    """Gain, read noise and, if given, offset of a sensor."""
    from denoise.noise.poisson_gaussian import (
        PoissonGaussianNoise,  # `--help` must not wait for numpy
    )

    try:
        return PoissonGaussianNoise(*map(float, text.split(",")))
    except (TypeError, ValueError):
        reason = "must be numbers such as 1.5,4 or 1.5,4,100"
    except OptionError as error:
        reason = str(error)
    raise typer.BadParameter(f"{reason}, got {text!r}")


def parse_kind(text: str) -> NoiseKind:
    """The name of a sort of noise."""
    if text not in get_args(NoiseKind):
        raise typer.BadParameter(f"must be one of {', '.join(get_args(NoiseKind))}, got {text!r}")
    return cast(NoiseKind, text)


def parse_noise(text: str) -> NoiseKind | tuple[Noise, str]:
    """The name of a sort of noise, or the noise in a JSON file with its units."""
    if not text.lower().endswith(".json"):
        try:
            return parse_kind(text)
        except typer.BadParameter as error:
            raise typer.BadParameter(f"{error.message}, or a file NAME.json") from None
    from denoise.noise.saved import noise_from_json

    try:
        return noise_from_json(Path(text).read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typer.BadParameter(f"{text}: cannot be read: {reason}") from None
    except OptionError as error:
        raise typer.BadParameter(
            f"{text}: {error}; make one with `denoise noise IMAGE -o {text}`"
        ) from None


def complete_noise(incomplete: str) -> list[str]:
    """Names of sorts of noise; without any, the shell lists files."""
    return [name for name in get_args(NoiseKind) if name.startswith(incomplete)]
