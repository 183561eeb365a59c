"""M-step of the published decoder on a CUDA GPU; the E-step is in `evolution.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from denoise.kernels.launching import OPTIONS, WARPS, launching_on, power_of_two, works_on
from denoise.patches import Patches
from denoise.vae.batch_sums import BatchSums
from denoise.vae.model import BinaryVAE
from denoise.vae.stored_states import PackedStates

# States and latents that a program handles at a time; matrix products want 16 at least.
BLOCKS = {"BLOCK_S": 16, "BLOCK_H": 32}
LEAST_BLOCK = 16
# Weights of the second layer, and hidden units, that a program holds at a time at most.
WEIGHTS_BLOCK, HIDDEN_BLOCK = 2048, 32
# Larger ones do not fit into the shared memory and registers of small GPUs.
MOST_VALUES, MOST_LATENTS = 256, 512


def supports(model: BinaryVAE, patches: Patches) -> bool:
    """Whether there are kernels: one hidden layer, nothing missing, float32, CUDA, no W."""
    return (
        model.decoder is not None
        and len(model.decoder.sizes) == 3
        and model.amplitudes is None
        and patches.observed is None
        and patches.values.device.type == "cuda"
        and patches.values.dtype == torch.float32
        and model.decoder.sizes[0] <= MOST_LATENTS
        and model.decoder.sizes[-1] <= MOST_VALUES
        and works_on(patches.values.device)
    )


@torch.no_grad()
def gradient(
    model: BinaryVAE, patches: Patches, states: PackedStates, *, count: int = 1
) -> tuple[tuple[Tensor, ...], BatchSums]:
    """As `gradient_learning.gradient`, in one launch and three matrix products."""
    from denoise.kernels import mlp_triton as kernels

    size = states.log_joints.shape[1]
    pool, scores, total = _places(states)
    shared = network(model, patches)
    hidden, latents = shared["hidden"], shared["latents"]
    new, rows = patches.values.new_empty, len(patches) * size
    posterior, back, blame = new(rows), new(rows, hidden), new(rows, shared["width"])
    latent_side, hidden_side = _aligned(new, rows, latents + 3), _aligned(new, rows, hidden + 1)
    with launching_on(patches.values.device):
        kernels.back_propagate[(len(patches), -(-size // BLOCKS["BLOCK_S"]))](
            pool=pool,
            scores=scores,
            posterior=posterior,
            latent_side=latent_side,
            hidden_side=hidden_side,
            back=back,
            blame=blame,
            count=count,
            latent_stride=latent_side.stride(0),
            hidden_stride=hidden_side.stride(0),
            total=total,
            size=size,
            BLOCK_T=power_of_two(size),
            **shared,
            **BLOCKS,
        )
    # Their last rows belong to the ones behind z and the hidden layer: slopes of u and v.
    first, last = latent_side.T @ back, hidden_side.T @ blame
    sums = posterior @ latent_side
    slopes = (first[:latents].T, first[-1], last[:hidden].T, last[-1])
    return slopes, BatchSums(sums[:-1])


def _aligned(new: Callable[..., Tensor], rows: int, columns: int) -> Tensor:
    """A matrix whose rows start where a GPU reads four values at once."""
    return new(rows, -(-columns // 4) * 4)[:, :columns]


def _places(states: PackedStates) -> tuple[Tensor, Tensor, int]:
    """Packed states and log joints, and how many places there are for each patch."""
    packed, scores = states.packed, states.log_joints
    total, width = scores.stride(0), packed.shape[2]
    if packed.stride() == (total * width, width, 1) and scores.stride(1) == 1:
        return packed, scores, total  # the start of a pool, perhaps
    return packed.contiguous(), scores.contiguous(), scores.shape[1]


def output_blocks(width: int) -> dict[str, int]:
    """How many values and hidden units a program handles at a time, for patches of D values."""
    values = max(power_of_two(width), LEAST_BLOCK)
    hidden = min(max(WEIGHTS_BLOCK // values, LEAST_BLOCK), HIDDEN_BLOCK)
    return {"BLOCK_D": values, "BLOCK_F": hidden}


def network(model: BinaryVAE, patches: Patches) -> dict[str, Any]:
    """The parameters that all kernels share."""
    assert model.decoder is not None
    first, _, last = model.decoder.layers
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    values = patches.centred.values if model.free_patch_mean else patches.values
    return {
        "values": values.contiguous(),
        "rows": first.weight.T.contiguous(),
        "first": first.bias,
        "weights": last.weight.T.contiguous(),
        "last": last.bias,
        "latents": first.in_features,
        "hidden": first.out_features,
        "width": last.out_features,
        "leak": model.decoder.leak,
        "variance": model.noise_variance,
        "FREE_MEAN": model.free_patch_mean,
        **output_blocks(last.out_features),
        **OPTIONS,
        # What keeps a tile of the second layer in registers.
        "num_warps": WARPS if last.out_features <= 64 else 2 * WARPS,
    }
