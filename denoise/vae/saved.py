"""Learned VAEs <-> files: arrays and a JSON description in one .npz, no pickled code."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from denoise.errors import ModelFileError
from denoise.files.outputs import write_atomically
from denoise.vae.amplitudes import GaussianAmplitudes
from denoise.vae.learned import LearnedVAE
from denoise.vae.mlp import MLPDecoder
from denoise.vae.model import BinaryVAE
from denoise.vae.reconstruction import StartStates

FORMAT = "denoise model 1"
MODEL_SUFFIXES = (".npz",)


def save_models(path: Path, vaes: Sequence[LearnedVAE]) -> None:
    """Write models to a file, which appears complete or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {"format": FORMAT, "models": [_describe(vae) for vae in vaes]}
    arrays: dict[str, NDArray[Any]] = {"description": np.array(json.dumps(description))}
    for number, vae in enumerate(vaes):
        for name, array in _arrays(vae).items():
            arrays[f"{number}/{name}"] = array
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load_models(path: Path, device: torch.device) -> tuple[LearnedVAE, ...]:
    """Read what `save_models` wrote.

    Raises
    ------
    ModelFileError
        If the file is missing, or is not such a file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            description = json.loads(str(archive["description"]))
            if description["format"] != FORMAT:
                raise ModelFileError(
                    f"{path}: holds {description['format']!r}, this version reads {FORMAT!r}"
                )
            models = description["models"]
            if not models:
                raise ValueError("no model")
            return tuple(
                _restore(one, _Arrays(archive, number, device)) for number, one in enumerate(models)
            )
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (*_DAMAGE, zipfile.BadZipFile, zlib.error):
        raise ModelFileError(
            f"{path}: is not a model file; give one that --save-model wrote"
        ) from None


# What reading an archive of other content, or a damaged one, may raise.
_DAMAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, RuntimeError)


def _check(
    description: dict[str, Any],
    prior_probs: torch.Tensor,
    pool: torch.Tensor,
    amplitudes: GaussianAmplitudes | None,
) -> None:
    """Raise a ValueError unless the parts fit together: compiled loops trust their sizes."""
    latents = len(prior_probs)
    values = int(description["patch_size"]) ** 2 * int(description["channels"])
    positive = (description["scale"], description["noise_variance"])
    sizes = description["layer_sizes"]
    if not (
        1 <= latents < 2**15
        and prior_probs.dtype == torch.float32
        and prior_probs.ndim == 1
        and bool(((prior_probs > 0) & (prior_probs < 1)).all())
        and pool.dtype == torch.bool
        and pool.ndim == 2
        and pool.shape[1] == latents
        and all(0 < float(number) < math.inf for number in positive)
        and 1 <= int(description["max_active"]) <= 1024
        and int(description["patch_size"]) >= 2
        and (sizes is None or (sizes[0], sizes[-1]) == (latents, values))
        and (sizes is not None or amplitudes is not None)
    ):
        raise ValueError("the parts of the model do not fit together")
    if amplitudes is not None:
        vectors = amplitudes.vectors
        if (
            vectors.shape != (latents, values)
            or vectors.dtype != torch.float32
            or not bool(vectors.isfinite().all())
        ):
            raise ValueError("the amplitudes do not fit the model")


class _Arrays:
    """The tensors of one model in an archive."""

    def __init__(self, archive: Any, number: int, device: torch.device) -> None:
        self._archive = archive
        self._number = number
        self._device = device

    def __call__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self._archive[f"{self._number}/{name}"]).to(self._device)


def _describe(vae: LearnedVAE) -> dict[str, Any]:
    model = vae.model
    return {
        "patch_size": vae.patch_size,
        "channels": vae.channels,
        "scale": vae.scale,
        "noise_variance": float(model.noise_variance),
        "free_patch_mean": model.free_patch_mean,
        "max_active": model.max_active,
        "layer_sizes": None if model.decoder is None else model.decoder.sizes,
        "leak": None if model.decoder is None else model.decoder.leak,
        "amplitudes": model.amplitudes is not None,
    }


def _arrays(vae: LearnedVAE) -> dict[str, NDArray[Any]]:
    model = vae.model
    tensors = {"prior_probs": model.prior_probs, "pool": vae.start.pool}
    if model.amplitudes is not None:
        tensors["amplitudes"] = model.amplitudes.vectors
    if model.decoder is not None:
        tensors |= {f"decoder/{name}": w for name, w in model.decoder.state_dict().items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _restore(description: dict[str, Any], arrays: _Arrays) -> LearnedVAE:
    prior_probs = arrays("prior_probs")
    decoder = None
    if description["layer_sizes"] is not None:
        decoder = MLPDecoder(
            tuple(description["layer_sizes"]),
            leak=description["leak"],
            generator=torch.Generator(),
        ).to(prior_probs.device)
        names = decoder.state_dict().keys()
        decoder.load_state_dict({name: arrays(f"decoder/{name}") for name in names})
    amplitudes = None
    free_patch_mean = bool(description["free_patch_mean"])
    if description["amplitudes"]:
        amplitudes = GaussianAmplitudes(arrays("amplitudes"), free_patch_mean=free_patch_mean)
    _check(description, prior_probs, arrays("pool"), amplitudes)
    model = BinaryVAE(
        decoder,
        prior_probs,
        prior_probs.new_tensor(float(description["noise_variance"])),
        free_patch_mean=free_patch_mean,
        amplitudes=amplitudes,
        max_active=int(description["max_active"]),
    )
    return LearnedVAE(
        model,
        patch_size=int(description["patch_size"]),
        channels=int(description["channels"]),
        scale=float(description["scale"]),
        start=StartStates(arrays("pool")),
        history=(),
    )
