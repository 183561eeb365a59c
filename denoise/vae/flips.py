"""Log joints of states that differ from a parent in one bit, from what the flip changes.

The first layer of the decoder adds up one row for each latent that is on, so a child's is its
parent's plus or minus a row: no product with the matrix of that layer.
"""

from __future__ import annotations

from torch import Tensor

from denoise.patches import Patches
from denoise.vae.model import BinaryVAE


def flip_bits(states: Tensor, chosen: Tensor) -> Tensor:
    """One child for each bit number `chosen` (N, P, M) of the states (N, P, H): (N, P·M, H)."""
    flips = states.new_zeros(*chosen.shape, states.shape[-1]).scatter_(-1, chosen[..., None], True)
    return (states[:, :, None] ^ flips).flatten(1, 2)


def flip_log_joints(model: BinaryVAE, patches: Patches, states: Tensor, chosen: Tensor) -> Tensor:
    """log p(x_n, z) of the children of `flip_bits`.

    Parameters
    ----------
    states : (N, P, H) bool, parents
    chosen : (N, P, M) int64, the bits that are flipped, one for each child

    Returns
    -------
    (N, P·M) float, nats
    """
    if model.decoder is None or model.amplitudes is not None:
        return model.log_joints(patches, flip_bits(states, chosen))
    latents = states.to(patches.values.dtype)
    signs = 1 - 2 * latents.gather(2, chosen)
    logit = model.prior_probs.logit()
    log_odds = (latents @ logit)[..., None] + signs * logit[chosen]  # (N, P, M)
    means = model.decoder.after_flips(latents, chosen, signs).flatten(1, 2)
    squared = model.residuals_of(patches, means).square().sum(-1)
    return model.log_joints_of(patches, log_odds.flatten(1), squared.flatten(1))
