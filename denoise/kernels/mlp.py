"""Gradients of a binary-latent VAE whose mean is an MLP, by a Triton kernel and matrix products.

One hidden layer, mu(z) = V g(U z + u) + v, is all that the kernels know; `evolution.py` searches
with the same network. The plain twin is `vae/gradient.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from denoise.kernels.choice import implementation
from denoise.kernels.launching import WARPS, launch, power_of_two

# States and latents that a program handles at a time; matrix products want 16 at least.
BLOCKS = {"BLOCK_S": 16, "BLOCK_H": 32}
LEAST_BLOCK = 16
# Weights of the second layer, and hidden units, that a program holds at a time at most.
WEIGHTS_BLOCK, HIDDEN_BLOCK = 2048, 32
# Larger ones do not fit into the shared memory and registers of small GPUs.
MOST_VALUES, MOST_LATENTS = 256, 512


class Network(NamedTuple):
    """The patches and the parameters of the network that all kernels share.

    Attributes
    ----------
    values : (N, D) float, the patches
    rows, first : (H, F) and (F,) float, U^T and u
    weights, last : (F, D) and (D,) float, V^T and v
    variance : () float, sigma^2
    leak : slope of g below zero
    FREE_MEAN : whether the mean of a patch is free; the values come without it
    """

    values: Tensor
    rows: Tensor
    first: Tensor
    weights: Tensor
    last: Tensor
    variance: Tensor
    leak: float
    FREE_MEAN: bool

    @property
    def is_compiled(self) -> bool:
        """Whether there are kernels for a network of this size, on its device."""
        small = self.rows.shape[0] <= MOST_LATENTS and self.values.shape[1] <= MOST_VALUES
        return small and implementation(self.values, "triton") == "triton"

    def arguments(self) -> dict[str, Any]:
        """What every kernel gets."""
        (latents, hidden), width = self.rows.shape, self.values.shape[1]
        block = max(power_of_two(width), LEAST_BLOCK)
        return self._asdict() | {
            "latents": latents,
            "hidden": hidden,
            "width": width,
            # Values and hidden units that a program handles at a time.
            "BLOCK_D": block,
            "BLOCK_F": min(max(WEIGHTS_BLOCK // block, LEAST_BLOCK), HIDDEN_BLOCK),
            # What keeps a tile of the second layer in registers.
            "warps": WARPS if width <= 64 else 2 * WARPS,
        }


@torch.no_grad()
def gradient(
    network: Network, packed: Tensor, log_joints: Tensor, *, count: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Gradient of minus the sum of the ELBOs, divided by `count`, in one launch.

    Parameters
    ----------
    packed, log_joints : (N, S, ceil(H / 8)) uint8 and (N, S) float, states and their log joints

    Returns
    -------
    gradients : of U, u, V and v, each as a layer of torch lays it out
    sums : (H + 2,) float; <z>, the expected squared error and the ELBO, summed over patches
    """
    from denoise.kernels import mlp_triton

    pool, scores, total = _places(packed, log_joints)
    patches, size = log_joints.shape
    latents, hidden = network.rows.shape
    new, rows = network.values.new_empty, patches * size
    posterior, back, blame = new(rows), new(rows, hidden), new(rows, network.values.shape[1])
    latent_side, hidden_side = _aligned(new, rows, latents + 3), _aligned(new, rows, hidden + 1)
    launch(
        mlp_triton.back_propagate,
        (patches, -(-size // BLOCKS["BLOCK_S"])),
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
        **network.arguments(),
        **BLOCKS,
    )
    # The last rows belong to the ones behind z and the hidden layer: gradients of u and v.
    first, last = latent_side.T @ back, hidden_side.T @ blame
    sums = posterior @ latent_side
    return (first[:latents].T, first[-1], last[:hidden].T, last[-1]), sums[:-1]


def _aligned(new: Callable[..., Tensor], rows: int, columns: int) -> Tensor:
    """A matrix whose rows start where a GPU reads four values at once."""
    return new(rows, -(-columns // 4) * 4)[:, :columns]


def _places(packed: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, int]:
    """Packed states and log joints, and how many places there are for each patch."""
    total, width = scores.stride(0), packed.shape[2]
    if packed.stride() == (total * width, width, 1) and scores.stride(1) == 1:
        return packed, scores, total  # the start of a pool, perhaps
    return packed.contiguous(), scores.contiguous(), scores.shape[1]
