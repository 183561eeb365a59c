"""The truncated posterior over the codes of a VQ-VAE, and learning under it.

p(z | x) ~ p(x | z) p(z), with the decoder's Gaussian likelihood of variance 1 and the prior of
code_tree.py. Learning raises the ELBO of the truncated posterior, log of the sum of p(x, z) over
the states of a patch, as in truncated variational EM (Drefs et al. 2022): decoder and codes
by gradient, the prior in closed form. The encoder learns to propose what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from denoise.methods.vaes.code_search import CodeStates, search
from denoise.methods.vaes.code_tree import CodeTree, code_frequencies, count_pairs
from denoise.methods.vaes.interface import PosteriorOptions

if TYPE_CHECKING:
    from denoise.methods.vaes.vq_vae import VQVAE

# Codes nearest to the encoder's vector that are tried in a slot.
CANDIDATES = 8
# Less likely states are left out of means and gradients, to save time.
LEAST_WEIGHT = 1e-4
BATCH_SIZE = 512
# Learning starts at this noise variance, which falls to 1 over a share of the steps: states share
# the patches at first, and part later.
FIRST_VARIANCE, FALLING_SHARE = 4.0, 0.5


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


def learn(
    model: VQVAE,
    patches: Tensor,
    posterior: PosteriorOptions,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[], None],
) -> None:
    """Search and learn in turn; without epochs learn only the prior, of the encoder's codes."""
    codes = model.nearest(patches, 1)[..., 0]
    model.prior = CodeTree.of_counts(
        count_pairs(codes, torch.ones_like(patches[:, 0]), model.options.codes)
    )
    if posterior.epochs == 0:
        return
    parameters = [*model.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    steps = posterior.epochs * -(-len(patches) // BATCH_SIZE)
    optimizer = Adam(parameters, lr=posterior.learning_rate)
    schedule = OneCycleLR(
        optimizer, posterior.learning_rate, total_steps=steps + 1, cycle_momentum=False
    )
    kept, done = codes[:, None].repeat(1, posterior.states, 1), 0
    for _ in range(posterior.epochs):
        pairs = torch.zeros_like(_no_pairs(model))
        order = torch.randperm(len(patches), generator=generator).to(patches.device)
        for rows in order.split(BATCH_SIZE):
            with torch.no_grad():
                falling = min(done / (FALLING_SHARE * steps), 1.0)
                search = CodePosterior(model, FIRST_VARIANCE + falling * (1 - FIRST_VARIANCE))
                states = search.find(patches[rows], posterior, kept[rows])
            kept[rows] = states.codes
            row, likely, weights = search.likely(states)
            pairs += count_pairs(likely, weights, model.options.codes)
            optimizer.zero_grad()
            _loss(model, patches[rows], row, likely, weights).backward()
            optimizer.step()
            schedule.step()
            done += 1
        model.prior = CodeTree.of_counts(pairs)
        on_epoch()


def _loss(model: VQVAE, patches: Tensor, row: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    """Minus the expected log joint, but for the prior, and minus the encoder's log probability."""
    means = CodePosterior(model).decode(codes)
    costs = 0.5 * (patches[row] - means).square().sum(1)
    log_probs = model.encoder_log_probs(patches)
    frequencies = code_frequencies(row, codes, weights, log_probs.shape)
    return ((weights * costs).sum() - (frequencies * log_probs).sum()) / len(patches)


def _no_pairs(model: VQVAE) -> Tensor:
    slots, codes = model.codebooks.shape[:2]
    return torch.zeros(slots, slots, codes, codes, dtype=torch.int64, device=model.codebooks.device)
