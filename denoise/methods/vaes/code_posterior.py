"""The truncated posterior over the codes of a VQ-VAE.

p(z | x) ~ p(x | z) p(z), with the decoder's Gaussian likelihood and the prior of code_tree.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from denoise.methods.vaes.code_search import CodeStates, search
from denoise.methods.vaes.interface import PosteriorOptions

if TYPE_CHECKING:
    from denoise.methods.vaes.vq_vae import VQVAE

# Codes nearest to the encoder's vector that are tried in a slot.
CANDIDATES = 8
# Less likely states are left out of means and gradients, to save time.
LEAST_WEIGHT = 1e-4


class CodePosterior:
    """What is the same for all patches: the decoder's first layer for each code, and the prior."""

    def __init__(self, model: VQVAE, variance: float = 1.0) -> None:
        first = model.decoder.layers[0]
        assert isinstance(first, nn.Linear)
        slots, codes, size = model.codebooks.shape
        weight = first.weight.unflatten(1, (slots, size))  # (hidden, M, d)
        self._model = model
        self._variance = variance
        self._rows = torch.einsum("hmd,mkd->mkh", weight, model.codebooks).flatten(0, 1)
        self._bias = first.bias
        self._offsets = codes * torch.arange(slots, device=model.codebooks.device)

    def decode(self, codes: Tensor) -> Tensor:
        """Means of patches: (B, M) -> (B, D)."""
        hidden = embedding_bag(codes + self._offsets, self._rows, mode="sum") + self._bias
        means: Tensor = self._model.decoder.layers[1:](hidden)
        return means

    def log_joints(self, patches: Tensor, codes: Tensor) -> Tensor:
        """log p(x_n, z) of states (N, S, M), without the constant of the likelihood: (N, S)."""
        means = self.decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        # |x - mean|^2 in three terms: no differences (N, S, D) are made.
        products = torch.einsum("nsd,nd->ns", means, patches)
        squares = patches.square().sum(1, keepdim=True) + means.square().sum(-1)
        log_likelihoods = (products - 0.5 * squares) / self._variance
        joints: Tensor = self._model.prior.log_prob(codes) + log_likelihoods
        return joints

    def find(
        self, patches: Tensor, posterior: PosteriorOptions, start: Tensor | None = None
    ) -> CodeStates:
        """States of patches (N, D), from those that the encoder proposes and `start` (N, S, M)."""
        candidates = self._model.nearest(patches, CANDIDATES)
        proposed = candidates[:, None, :, 0]
        return search(
            lambda codes: self.log_joints(patches, codes),
            proposed if start is None else torch.cat([proposed, start], 1),
            candidates,
            states=posterior.states,
            expansions=posterior.steps,
        )

    def likely(self, states: CodeStates) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, codes and weights of the states that matter: (B,), (B, M), (B,)."""
        weights = states.weights()
        row, place = (weights >= LEAST_WEIGHT).nonzero(as_tuple=True)
        return row, states.codes[row, place], weights[row, place]

    def mean(self, states: CodeStates) -> Tensor:
        """Mean of the decoder's output: (N, D)."""
        weights = states.weights()
        weights = weights.where(weights >= LEAST_WEIGHT, 0)
        row, place = weights.nonzero(as_tuple=True)
        likely = self.decode(states.codes[row, place])
        means = likely.new_zeros(*weights.shape, likely.shape[1])
        means[row, place] = likely
        return (weights[..., None] * means).sum(1) / weights.sum(1, keepdim=True)
