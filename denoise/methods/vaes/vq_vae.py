"""VAE with vector-quantised latents (van den Oord, Vinyals, Kavukcuoglu 2017, arXiv 1711.00937).

The encoder gives one vector for each of M slots, which the nearest of the slot's K codes
replaces; the decoder turns the M codes into the mean of the patch. The codebooks of the
slots are separate, since the slots of a patch, other than places of an image, differ in kind.
The prior over codes is learned after the training (section 3.3; code_tree.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from denoise.methods.vaes import code_learning
from denoise.methods.vaes.code_posterior import CodePosterior
from denoise.methods.vaes.code_search import CodeStates
from denoise.methods.vaes.code_tree import CodeTree
from denoise.methods.vaes.codebooks import half_distances, nearest_codes, straight_through
from denoise.methods.vaes.interface import Diagnostics, PatchVAE, PosteriorOptions, VAEOptions
from denoise.methods.vaes.networks import encoder_and_decoder, gaussian_cost, normal, perplexity
from denoise.options import require, require_choice, require_positive
from denoise.vae.prior import Samples

Codebook = Literal["ema", "loss"]
# Patches whose posterior is searched at a time: their states fit into a cache.
SEARCHED = 512
# Dead codes are looked for every this many gradient steps.
RESTART_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class VQOptions(VAEOptions):
    """Settings of a Vector-quantised VAE.

    Attributes
    ----------
    slots : codes per patch; each slot has a codebook of its own
    codes : entries of a codebook
    code_size : values of an entry
    commitment : beta, weight of the commitment loss
    codebook : "loss" learns it by gradient, "ema" as moving means of the encoder's outputs
    decay : of the moving means, by which dead codes are found too
    least_usage : a code picked less often than this share of 1 / codes is dead and restarts
        from an output of the encoder
    """

    slots: int = 4
    codes: int = 64
    code_size: int = 8
    commitment: float = 0.25
    codebook: Codebook = "ema"
    decay: float = 0.99
    least_usage: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "slots", "code_size", "commitment")
        require(self.codes >= 2, f"codes must be at least 2, got {self.codes}")
        require_choice("codebook", self.codebook, Codebook)
        require(0 < self.decay < 1, f"decay must lie between 0 and 1, got {self.decay}")
        require(
            0 <= self.least_usage < 1, f"least_usage must lie in [0, 1), got {self.least_usage}"
        )

    def build(self, values: int, generator: torch.Generator) -> VQVAE:
        """An untrained model."""
        return VQVAE(values, self, generator)


class VQVAE(PatchVAE):
    """M slots with K codes each: a patch has one of K^M latent states.

    Attributes
    ----------
    codebooks : (M, K, d)
    usage : (M, K), moving share of patches that pick a code
    prior : p(z), uniform until the posterior is learned
    """

    options: VQOptions
    usage: Tensor
    _means: Tensor

    def __init__(self, values: int, options: VQOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        slots, codes, size = options.slots, options.codes, options.code_size
        self.encoder, self.decoder = encoder_and_decoder(
            values, slots * size, slots * size, options.hidden, generator
        )
        books = torch.randn(slots, codes, size, generator=generator)
        self.codebooks = nn.Parameter(books, requires_grad=options.codebook == "loss")
        self.prior = CodeTree.uniform(slots, codes, books)
        self.register_buffer("usage", torch.full((slots, codes), 1 / codes))
        self.register_buffer("_means", books / codes)
        self._steps = 0

    def encode(self, patches: Tensor) -> Tensor:
        """The encoder's vectors: (N, D) -> (N, M, d)."""
        slots, size = self.options.slots, self.options.code_size
        vectors: Tensor = self.encoder(patches).view(-1, slots, size)
        return vectors

    def look_up(self, picked: Tensor) -> Tensor:
        """The codes of numbers (N, M): (N, M, d)."""
        slots = torch.arange(self.options.slots, device=picked.device)
        return self.codebooks[slots, picked]

    def nearest(self, patches: Tensor, count: int) -> Tensor:
        """The codes nearest to the encoder's vectors, nearest first: (N, D) -> (N, M, count)."""
        count = min(count, self.options.codes)
        return self.encoder_log_probs(patches).topk(count, dim=2).indices

    def encoder_log_probs(self, patches: Tensor) -> Tensor:
        """log softmax of -|vector - code|^2 / 2: (N, D) -> (N, M, K); codes get no gradient."""
        distances = half_distances(self.encode(patches), self.codebooks.detach())
        return (-distances).log_softmax(2)

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """Eq. 3, with the Gaussian likelihood of the known noise; sums over values and slots."""
        vectors = self.encode(patches)
        if self._steps % RESTART_STEPS == 0:
            self._restart_dead_codes(vectors.detach(), generator)
        self._steps += 1
        picked = nearest_codes(vectors.detach(), self.codebooks.detach())
        codes = self.look_up(picked)
        self._count(vectors.detach(), picked)
        means = self.decoder(straight_through(vectors, codes).flatten(1))
        commitment = (vectors - codes.detach()).square().sum((1, 2))
        loss = gaussian_cost(patches, means) + self.options.commitment * commitment
        if self.options.codebook == "loss":
            loss = loss + (vectors.detach() - codes).square().sum((1, 2))
        return loss.mean()

    @torch.no_grad()
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """The decoder's mean for the nearest codes: the encoder's distribution is one point."""
        picked = nearest_codes(self.encode(patches), self.codebooks)
        means: Tensor = self.decoder(self.look_up(picked).flatten(1))
        return means

    def learn_posterior(
        self,
        patches: Tensor,
        posterior: PosteriorOptions,
        *,
        generator: torch.Generator,
        on_epoch: Callable[[], None],
    ) -> None:
        """Learn the prior, and all else under the truncated posterior."""
        code_learning.learn(self, patches, posterior, generator=generator, on_epoch=on_epoch)

    @torch.no_grad()
    def posterior_mean(
        self, patches: Tensor, posterior: PosteriorOptions, *, generator: torch.Generator
    ) -> Tensor:
        """Mean of the decoder's output under the truncated posterior; nothing is drawn."""
        search = CodePosterior(self)
        return torch.cat([search.mean(states) for states in self._found(patches, posterior)])

    def _found(self, patches: Tensor, posterior: PosteriorOptions) -> Iterator[CodeStates]:
        """The states of some patches at a time."""
        search = CodePosterior(self)
        for part in patches.split(SEARCHED):
            yield search.find(part, posterior)

    @torch.no_grad()
    def log_prob_bound(self, patches: Tensor) -> Tensor:
        """log p(x | z_q(x)) + log p(z_q(x)) <= log p(x) (section 3.3), without a constant: (N,)."""
        picked = nearest_codes(self.encode(patches), self.codebooks)
        return CodePosterior(self).log_joints(patches, picked[:, None])[:, 0]

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw codes from the prior and decode them; groups are codes of the first slot."""
        codes = self.prior.sample(count, generator=generator)
        decoded = CodePosterior(self).decode(codes)
        return Samples(decoded, codes[:, 0], "code of the first slot")

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """Perplexity of a codebook, from 1 to K: the mean over slots, and the least one.

        With a posterior also the negative ELBO, of the encoder's codes (`log_prob_bound`) and of
        the truncated posterior, and what the prior saves of log K per slot, in nats per patch.
        """
        picked = nearest_codes(self.encode(patches), self.codebooks)
        frequencies = self._one_hot(picked).mean(0)
        by_slot = perplexity(frequencies)
        usage = {
            "perplexity": float(by_slot.mean()),
            "least perplexity": float(by_slot.min()),
            "unused codes": float((frequencies == 0).float().mean()),
        }
        if self.options.posterior is None:
            return usage
        found = list(self._found(patches, self.options.posterior))
        best = torch.cat([states.codes[:, 0] for states in found])
        elbo = torch.cat([states.elbo() for states in found]).mean()
        most = self.options.slots * math.log(self.options.codes)
        return {
            **usage,
            "-ELBO encoder": -float(self.log_prob_bound(patches).mean()),
            "-ELBO": -float(elbo),
            "prior saves": most + float(self.prior.log_prob(best).mean()),
        }

    def _one_hot(self, picked: Tensor) -> Tensor:
        return nn.functional.one_hot(picked, self.options.codes).to(self.usage.dtype)

    @torch.no_grad()
    def _count(self, vectors: Tensor, picked: Tensor) -> None:
        """Move the usage and, where the codebooks are moving means, them (appendix A.1)."""
        chosen = self._one_hot(picked)
        share = 1 - self.options.decay
        self.usage.lerp_(chosen.mean(0), share)
        if self.options.codebook == "ema":
            sums = torch.einsum("nmk,nmd->mkd", chosen, vectors) / len(vectors)
            self._means.lerp_(sums, share)
            self.codebooks.data.copy_(self._means / self.usage.clamp(min=1e-8)[..., None])

    @torch.no_grad()
    def _restart_dead_codes(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Put codes that are hardly picked on outputs of the encoder, drawn at random.

        Not in the paper. Before the first step all codes are put there, which was enough on
        the images of docs/experiments.md: no code fell out of use later.
        """
        codes = self.options.codes
        dead = self.usage < self.options.least_usage / codes
        if self._steps == 0:
            dead = torch.ones_like(dead)
        slot, code = dead.nonzero(as_tuple=True)
        row = torch.randint(len(vectors), (len(slot),), generator=generator).to(vectors.device)
        # Two codes on one vector would stay equal for ever.
        spread = vectors.std(0, unbiased=False)[slot]
        fresh = vectors[row, slot]
        fresh = fresh + 0.01 * spread * normal(fresh.shape, fresh, generator)
        self.codebooks.data[slot, code] = fresh
        self.usage[slot, code] = 1 / codes
        self._means[slot, code] = fresh / codes
