"""Noise as JSON, to be measured once and used for a series of images."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from denoise.errors import OptionError
from denoise.noise.coloured import ColouredNoise
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.interface import Noise
from denoise.noise.poisson_gaussian import PoissonGaussianNoise

KINDS: dict[str, type[Any]] = {
    "gaussian": GaussianNoise,
    "poisson-gaussian": PoissonGaussianNoise,
    "coloured": ColouredNoise,
}


def noise_to_json(noise: Noise, units: str) -> str:
    """All parameters, and the units that they are in, as a JSON object."""
    kind = next(name for name, cls in KINDS.items() if isinstance(noise, cls))
    fields: dict[str, Any] = asdict(noise)  # type: ignore[call-overload]
    return json.dumps({"noise": kind, "units": units, **fields}, allow_nan=False)


def noise_from_json(text: str) -> tuple[Noise, str]:
    """The noise that `noise_to_json` described, and its units.

    Raises
    ------
    OptionError
        If the text is something else, or its numbers are no noise.
    """
    try:
        fields = json.loads(text)
        cls, units = KINDS[fields.pop("noise")], fields.pop("units")
        if fields.get("growth") is not None:
            fields["growth"] = PoissonGaussianNoise(**fields["growth"])
        noise: Noise = cls(**{name: _as_tuples(value) for name, value in fields.items()})
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise OptionError(f"describes no noise: {type(error).__name__}: {error}") from None
    return noise, str(units)


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list) else value
