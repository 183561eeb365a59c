"""Values that are more than a word or a number: texts of options, and what they mean."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import typer

from denoise.errors import OptionError

if TYPE_CHECKING:
    from denoise.noise.poisson_gaussian import PoissonGaussianNoise

SECONDS = {"ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_sigma(text: str) -> float | None:
    """A noise level; None for "auto"."""
    if text.strip().lower() == "auto":
        return None
    try:
        sigma = float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number or auto, got {text!r}") from None
    if not 0 < sigma < math.inf:
        raise typer.BadParameter(f"must be a positive finite number, got {sigma}")
    return sigma


def parse_time(text: str) -> float:
    """Seconds; a number without a unit counts seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(ms|s|sec|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"must be a time such as 30s or 5min, got {text!r}")
    return float(match[1]) * SECONDS.get(match[2], 1.0)


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
