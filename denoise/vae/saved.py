"""Learned VAEs <-> files: arrays and a JSON description in one .npz, no pickled code."""

from __future__ import annotations

import hashlib
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
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.learned import LearnedVAE
from denoise.vae.mlp import MLP
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.model import BinaryVAE
from denoise.vae.reconstruction import StartStates

FORMAT = "denoise model 1"
# What files of the MLP model say, which has no such bound.
DEFAULT_MAX_ACTIVE = 8


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
    mlp = model.mlp if isinstance(model, MLPVAE) else None
    return {
        "patch_size": vae.patch_size,
        "channels": vae.channels,
        "scale": vae.scale,
        "noise_variance": float(model.noise_variance),
        "free_patch_mean": model.free_patch_mean,
        "max_active": model.max_active if isinstance(model, AmplitudeVAE) else DEFAULT_MAX_ACTIVE,
        "layer_sizes": None if mlp is None else mlp.sizes,
        "leak": None if mlp is None else mlp.leak,
        "amplitudes": mlp is None,
    }


def digest(vaes: Sequence[LearnedVAE]) -> str:
    """SHA-256 of all that is learned, as hexadecimal digits."""
    found = hashlib.sha256()
    for vae in vaes:
        found.update(json.dumps(_describe(vae), sort_keys=True).encode())
        for name, array in _arrays(vae).items():
            found.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _arrays(vae: LearnedVAE) -> dict[str, NDArray[Any]]:
    model = vae.model
    tensors = {"prior_probs": model.prior_probs, "pool": vae.start.pool}
    if isinstance(model, AmplitudeVAE):
        tensors["amplitudes"] = model.vectors
    if isinstance(model, MLPVAE):
        tensors |= {f"decoder/{name}": w for name, w in model.mlp.state_dict().items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _restore(description: dict[str, Any], arrays: _Arrays) -> LearnedVAE:
    prior_probs, pool = arrays("prior_probs"), arrays("pool")
    values = int(description["patch_size"]) ** 2 * int(description["channels"])
    _check(description, prior_probs, pool)
    restore = _restore_amplitudes if description["amplitudes"] else _restore_mlp
    return LearnedVAE(
        restore(description, arrays, prior_probs, values),
        patch_size=int(description["patch_size"]),
        channels=int(description["channels"]),
        scale=float(description["scale"]),
        start=StartStates(pool),
        history=(),
    )


def _check(description: dict[str, Any], prior_probs: torch.Tensor, pool: torch.Tensor) -> None:
    """Raise a ValueError unless the parts fit together: compiled loops trust their sizes."""
    latents = len(prior_probs)
    positive = (description["scale"], description["noise_variance"])
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
    ):
        raise ValueError("the parts of the model do not fit together")


def _restore_amplitudes(
    description: dict[str, Any], arrays: _Arrays, prior_probs: torch.Tensor, values: int
) -> BinaryVAE:
    vectors = arrays("amplitudes")
    if (
        vectors.shape != (len(prior_probs), values)
        or vectors.dtype != torch.float32
        or not bool(vectors.isfinite().all())
        or description["layer_sizes"] is not None
    ):
        raise ValueError("the amplitudes do not fit the model")
    return AmplitudeVAE(
        vectors,
        prior_probs,
        prior_probs.new_tensor(float(description["noise_variance"])),
        free_patch_mean=bool(description["free_patch_mean"]),
        max_active=int(description["max_active"]),
    )


def _restore_mlp(
    description: dict[str, Any], arrays: _Arrays, prior_probs: torch.Tensor, values: int
) -> BinaryVAE:
    sizes = tuple(description["layer_sizes"])
    if (sizes[0], sizes[-1]) != (len(prior_probs), values):
        raise ValueError("the layers do not fit the model")
    mlp = MLP(sizes, leak=description["leak"], generator=torch.Generator()).to(prior_probs.device)
    mlp.load_state_dict({name: arrays(f"decoder/{name}") for name in mlp.state_dict()})
    return MLPVAE(
        mlp,
        prior_probs,
        prior_probs.new_tensor(float(description["noise_variance"])),
        free_patch_mean=bool(description["free_patch_mean"]),
    )
