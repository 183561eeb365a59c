"""Learning a VQ-VAE under the truncated posterior of its codes.

The ELBO, log of the sum of p(x, z) over the states of a patch, rises as in truncated variational
EM (Drefs et al. 2022): decoder and codes by gradient, the prior in closed form. The encoder learns
to propose what was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from denoise.errors import TrainingError
from denoise.methods.vaes.code_posterior import CodePosterior
from denoise.methods.vaes.code_tree import CodeTree, code_frequencies, count_pairs
from denoise.methods.vaes.interface import PosteriorOptions

if TYPE_CHECKING:
    from denoise.methods.vaes.vq_vae import VQVAE

BATCH_SIZE = 512
# Learning starts at this noise variance, which falls to 1 over a share of the steps: states share
# the patches at first, and part later.
FIRST_VARIANCE, FALLING_SHARE = 4.0, 0.5


def learn(
    model: VQVAE,
    patches: Tensor,
    posterior: PosteriorOptions,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[], None],
) -> None:
    """Search and learn in turn; without epochs learn only the prior, of the encoder's codes.

    Raises
    ------
    TrainingError
        If the ELBO is not finite after an epoch.
    """
    codes = model.nearest(patches, 1)[..., 0]
    once = torch.ones_like(patches[:, 0])
    model.prior = CodeTree.of_counts(count_pairs(codes, once, model.options.codes))
    if posterior.epochs == 0:
        return
    learner = _Learner(model, patches, codes, posterior)
    for epoch in range(1, posterior.epochs + 1):
        elbo = learner.epoch(torch.randperm(len(patches), generator=generator))
        if not math.isfinite(elbo):
            raise TrainingError(
                f"the ELBO became {elbo} in epoch {epoch} under the posterior; use another seed or"
                " a lower learning rate"
            )
        on_epoch()


class _Learner:
    """The states of all training patches, and Adam with one cycle of its rate."""

    def __init__(
        self, model: VQVAE, patches: Tensor, codes: Tensor, posterior: PosteriorOptions
    ) -> None:
        self._model, self._patches, self._posterior = model, patches, posterior
        self._kept = codes[:, None].repeat(1, posterior.states, 1)
        self._done, self._steps = 0, posterior.epochs * -(-len(patches) // BATCH_SIZE)
        parameters = [parameter.requires_grad_(True) for parameter in model.parameters()]
        rate = posterior.learning_rate
        self._adam = Adam(parameters, lr=rate)
        self._schedule = OneCycleLR(
            self._adam, rate, total_steps=self._steps + 1, cycle_momentum=False
        )

    def epoch(self, order: Tensor) -> float:
        """Go once through the patches, then update the prior; the mean ELBO on the way."""
        pairs: Tensor | int = 0
        elbos = []
        for rows in order.to(self._patches.device).split(BATCH_SIZE):
            counted, elbo = self._step(rows)
            pairs = pairs + counted
            elbos.append(elbo)
        assert isinstance(pairs, Tensor)
        self._model.prior = CodeTree.of_counts(pairs)
        return float(torch.stack(elbos).sum()) / len(order)

    def _step(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Search for states of these patches, then learn from them: pairs of codes, their ELBO."""
        patches = self._patches[rows]
        falling = min(self._done / (FALLING_SHARE * self._steps), 1.0)
        with torch.no_grad():
            search = CodePosterior(self._model, FIRST_VARIANCE + falling * (1 - FIRST_VARIANCE))
            states = search.find(patches, self._posterior, self._kept[rows])
        self._kept[rows] = states.codes
        row, codes, weights = search.likely(states)
        self._adam.zero_grad()
        _loss(self._model, patches, row, codes, weights).backward()
        self._adam.step()
        self._schedule.step()
        self._done += 1
        pairs = count_pairs(codes, weights, self._model.options.codes)
        return pairs, states.elbo().sum()


def _loss(model: VQVAE, patches: Tensor, row: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
    """Minus the expected log joint, but for the prior, and minus the encoder's log probability."""
    means = CodePosterior(model).decode(codes)
    costs = 0.5 * (patches[row] - means).square().sum(1)
    log_probs = model.encoder_log_probs(patches)
    frequencies = code_frequencies(row, codes, weights, log_probs.shape)
    return ((weights * costs).sum() - (frequencies * log_probs).sum()) / len(patches)
