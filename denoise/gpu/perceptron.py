"""M-step of the published decoder on a CUDA GPU; the E-step is in `evolution.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from denoise.gpu.launching import OPTIONS, WARPS, launching_on, power_of_two, works_on
from denoise.model import BinaryVAE
from denoise.patches import Patches
from denoise.stored_states import PackedStates

# States and latents that a program handles at a time; matrix products want 16 at least.
BLOCKS = {"BLOCK_S": 16, "BLOCK_H": 32}
LEAST_BLOCK = 16
# Weights of the second layer, and hidden units, that a program holds at a time at most.
WEIGHTS_BLOCK, HIDDEN_BLOCK = 2048, 32
# Larger ones do not fit into the shared memory and registers of small GPUs.
MOST_VALUES, MOST_LATENTS = 256, 512


@dataclass(frozen=True)
class Gradient:
    """What the M-step needs to know of a batch.

    Attributes
    ----------
    slopes : of minus the sum of the ELBOs, for each parameter of the decoder
    squared_error : () float, posterior mean of the squared error, summed over patches
    latents : (H,) float, <z>, summed over patches
    """

    slopes: tuple[Tensor, ...]
    squared_error: Tensor
    latents: Tensor


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
def gradient(model: BinaryVAE, patches: Patches, states: PackedStates) -> Gradient:
    """As `learning.gradient`, in one launch and two matrix products."""
    from denoise.gpu import perceptron_kernels as kernels

    count, size = states.log_joints.shape
    posterior = states.posterior_weights().contiguous()
    shared = network(model, patches)
    hidden, latents = shared["hidden"], shared["latents"]
    new, rows = patches.values.new_empty, count * size
    active, back = new(rows, hidden), new(rows, hidden)
    bits, blame, squared = new(rows, latents), new(rows, shared["width"]), new(count, size)
    with launching_on(patches.values.device):
        kernels.back_propagate[(count, -(-size // BLOCKS["BLOCK_S"]))](
            pool=states.packed.contiguous(),
            posterior=posterior,
            bits=bits,
            active=active,
            back=back,
            blame=blame,
            squared=squared,
            precision=1 / model.noise_variance,
            size=size,
            **shared,
            **BLOCKS,
        )
    slopes = (back.T @ bits, back.sum(0), blame.T @ active, blame.sum(0))
    return Gradient(slopes, squared.sum(), posterior.flatten() @ bits)


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
        "FREE_MEAN": model.free_patch_mean,
        **output_blocks(last.out_features),
        **OPTIONS,
        # What keeps a tile of the second layer in registers.
        "num_warps": WARPS if last.out_features <= 64 else 2 * WARPS,
    }
