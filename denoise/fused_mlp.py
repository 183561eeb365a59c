"""Squared errors of single-bit children under a perceptron with one hidden layer, on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from denoise import fused
from denoise.model import BinaryVAE
from denoise.patches import Patches

# Children and hidden units handled at a time; tensor cores want 16 at least.
LEAST_BLOCK = 16
HIDDEN_BLOCK = 32
# Larger patches do not fit into the shared memory of small GPUs.
MOST_VALUES = 256


def supports(model: BinaryVAE, patches: Patches) -> bool:
    """Whether the kernel covers the case: one hidden layer, nothing missing, float32, CUDA."""
    return (
        model.decoder is not None
        and len(model.decoder.sizes) == 3
        and model.amplitudes is None
        and patches.observed is None
        and patches.values.device.type == "cuda"
        and patches.values.dtype == torch.float32
        and model.decoder.sizes[-1] <= MOST_VALUES
        and fused.works_on(patches.values.device)
    )


@torch.no_grad()
def squared_errors(
    model: BinaryVAE, patches: Patches, latents: Tensor, chosen: Tensor, signs: Tensor
) -> Tensor:
    """Squared lengths of what the children's means leave of the patches.

    Parameters
    ----------
    latents : (N, P, H) float, the parents
    chosen, signs : (N, P, M), the bits that are flipped, and 1 where they go on, -1 where off

    Returns
    -------
    (N, P, M) float
    """
    from denoise import fused_mlp_kernels

    assert model.decoder is not None
    first, _, last = model.decoder.layers
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    values = patches.centred.values if model.free_patch_mean else patches.values
    squared = torch.empty_like(signs)
    count, parents, children = chosen.shape
    with fused.launching_on(squared.device):
        fused_mlp_kernels.squared_errors[(count * parents,)](
            first(latents).contiguous(),
            first.weight.T.contiguous(),
            last.weight.T.contiguous(),
            last.bias,
            values.contiguous(),
            chosen.contiguous(),
            signs.contiguous(),
            squared,
            parents,
            children,
            first.out_features,
            last.out_features,
            model.decoder.leak,
            FREE_MEAN=model.free_patch_mean,
            BLOCK_M=max(fused.power_of_two(children), LEAST_BLOCK),
            BLOCK_F=HIDDEN_BLOCK,
            BLOCK_D=max(fused.power_of_two(last.out_features), LEAST_BLOCK),
            num_warps=fused.WARPS,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return squared
