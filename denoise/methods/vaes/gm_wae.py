"""VAE with Gaussian-mixture latents, trained by optimal transport or by the ELBO.

Prior: k uniform over K components, z | k ~ Normal(m_k, diag s_k^2), both learned. Encoder:
q(k | x), of which the T likeliest components are kept, and one Gaussian q(z | x, k) for each k;
expectations over k are exact sums, those over z take one draw each. Decoder: f(z) = W z + MLP(z).
Objectives, both to be lowered, with c(x, y) = |x - y|^2 / 2:

transport  E_q c(x, f(z)) + lambda MMD^2(aggregated q(z), p(z))
elbo       E_q c(x, f(z)) + KL(q(k, z | x) || p(k, z))

Gaujac, Feige, Barber 2018, arXiv 1806.04465, after the Wasserstein auto-encoder of Tolstikhin,
Bousquet, Gelly, Schölkopf 2018, arXiv 1711.01558. After the training the prior is fitted to the
patches by EM, with full covariances and weights of the components (`mixture_refit`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from denoise.methods.vaes.interface import (
    Diagnostics,
    PatchVAE,
    PosteriorOptions,
    VAEOptions,
    VAETraining,
)
from denoise.methods.vaes.mixture_decoder import LinearPlusMLP
from denoise.methods.vaes.mixture_encoder import Encoded, MixtureEncoder
from denoise.methods.vaes.mixture_posterior import (
    LinearisedMixture,
    MixturePosterior,
    MixturePrior,
    find_posterior,
)
from denoise.methods.vaes.mixture_refit import refit
from denoise.methods.vaes.mmd import discrepancy
from denoise.methods.vaes.networks import gaussian_cost, normal, perplexity
from denoise.options import require, require_choice, require_positive
from denoise.vae.prior import Samples

Objective = Literal["transport", "elbo"]
# Patches and prior draws that enter the MMD, which costs their square.
MMD_PATCHES = 64
# Patches whose posteriors are improved at a time: their Jacobians take the most memory.
CHUNK_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class MixtureOptions(VAEOptions):
    """Settings of a VAE with Gaussian-mixture latents.

    Attributes
    ----------
    objective : "transport" is the Wasserstein auto-encoder, "elbo" the usual VAE
    components : number K of Gaussians in the prior
    kept : number T of components that a patch is explained with in the training
    latents : most values of z, of which there are never more than values of a patch; "transport"
        has no other bound on the noise that the encoder copies
    decoder_hidden : widths of the hidden layers of the decoder; without any it is linear
    penalty : lambda, weight of the MMD ("transport" only)
    samples : draws of z per component over which the decoder's mean is averaged ("encoder" only)
    posterior : its states are components, its steps go towards the modes of their Gaussians, which
        a linear decoder does not need, and its epochs are rounds of EM that fit the prior
    """

    objective: Objective = "transport"
    components: int = 32
    kept: int = 3
    latents: int = 48
    hidden: tuple[int, ...] = (128,)
    decoder_hidden: tuple[int, ...] = ()
    penalty: float = 100.0
    samples: int = 4
    training: VAETraining = field(default=VAETraining(epochs=4, learning_rate=1e-2))
    posterior: PosteriorOptions | None = field(
        default=PosteriorOptions(states=3, steps=2, epochs=12)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "components", "kept", "latents", "penalty", "samples")
        require_choice("objective", self.objective, Objective)
        require(
            all(width >= 1 for width in self.decoder_hidden),
            f"hidden widths of the decoder are {self.decoder_hidden}",
        )

    def build(self, values: int, generator: torch.Generator) -> MixtureVAE:
        """An untrained model."""
        return MixtureVAE(values, self, generator)


class MixtureVAE(PatchVAE):
    """K components, z with d values.

    Attributes
    ----------
    prior_means, prior_log_scales : (K, d), as the objective learns them
    prior : as EM has fitted it; None before `learn_posterior`
    """

    options: MixtureOptions

    def __init__(self, values: int, options: MixtureOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        count, self.latents = options.components, min(options.latents, values)
        self.encoder = MixtureEncoder(
            values, options.hidden, count, self.latents, options.kept, generator
        )
        self.decoder = LinearPlusMLP(self.latents, options.decoder_hidden, values, generator)
        self.prior_means = nn.Parameter(torch.randn(count, self.latents, generator=generator))
        self.prior_log_scales = nn.Parameter(torch.zeros(count, self.latents))
        self.prior: MixturePrior | None = None

    def loss(self, patches: Tensor, *, progress: float, generator: torch.Generator) -> Tensor:
        """The objective in nats per patch; the MMD is scaled by lambda only."""
        encoded = self.encoder(patches)
        latents, weights = encoded.draw(generator), encoded.log_weights.exp()
        costs = (weights * gaussian_cost(patches[:, None], self.decoder(latents))).sum(1)
        if self.options.objective == "elbo":
            bound: Tensor = costs + self.divergence(encoded)
            return bound.mean()
        first = slice(MMD_PATCHES)
        distance = discrepancy(
            latents[first],
            weights[first],
            self.prior_means,
            self.prior_log_scales.exp(),
            generator,
        )
        transport: Tensor = costs.mean() + self.options.penalty * distance
        return transport

    @torch.no_grad()
    def learn_posterior(
        self,
        patches: Tensor,
        posterior: PosteriorOptions,
        *,
        generator: torch.Generator,
        on_epoch: Callable[[], None],
    ) -> None:
        """Fit the prior by EM, from the one that the objective has learned."""
        self.prior = refit(
            self.decoder,
            self.current_prior(),
            patches,
            rounds=posterior.epochs,
            generator=generator,
            on_round=on_epoch,
        )

    def current_prior(self) -> MixturePrior:
        """The prior that EM has fitted, or the one that the objective has learned so far."""
        if self.prior is not None:
            return self.prior
        count = self.options.components
        return MixturePrior(
            log_weights=torch.full_like(self.prior_means[:, 0], -math.log(count)).detach(),
            means=self.prior_means.detach(),
            factors=torch.diag_embed(self.prior_log_scales.detach().exp()),
        )

    @torch.no_grad()
    def find_posterior(self, patches: Tensor, posterior: PosteriorOptions) -> MixturePosterior:
        """Posterior in the S components that explain a patch best: (N, D) -> (N, S).

        The encoder proposes where to start in each of them, and so do the factor analysers.
        """
        prior = self.current_prior()
        steps = posterior.steps if self.options.decoder_hidden else 0
        proposals = self.encoder.means(patches) if steps else None
        return find_posterior(
            self.decoder,
            prior,
            LinearisedMixture.of(self.decoder, prior),
            patches,
            proposals,
            components=posterior.states,
            steps=steps,
        )

    @torch.no_grad()
    def posterior_mean(
        self, patches: Tensor, posterior: PosteriorOptions, *, generator: torch.Generator
    ) -> Tensor:
        """Mean of the decoder over the S components, at the mode of z in each of them."""
        chunks = patches.split(CHUNK_SIZE)
        return torch.cat([self.find_posterior(chunk, posterior).mean() for chunk in chunks])

    @torch.no_grad()
    def encoder_mean(self, patches: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean over k, exactly, and over draws of z given k."""
        encoded = self.encoder(patches)
        weights = encoded.log_weights.exp()[..., None]
        total = torch.zeros_like(patches)
        for _ in range(self.options.samples):
            total += (weights * self.decoder(encoded.draw(generator))).sum(1)
        return total / self.options.samples

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Decoded draws from the prior; groups are the numbers of their components."""
        prior = self.current_prior()
        drawn = torch.multinomial(prior.log_weights.exp().cpu(), count, True, generator=generator)
        components = drawn.to(prior.means.device)
        shape = torch.Size((count, self.latents))
        latents = prior.latents(normal(shape, prior.means, generator), components)
        return Samples(self.decoder(latents), components)

    @torch.no_grad()
    def diagnostics(self, patches: Tensor, *, generator: torch.Generator) -> Diagnostics:
        """Components used (perplexity of the mean of q(k | x)) and per patch.

        The logarithm of their ratio is the mutual information of k and x. With a posterior they are
        its own, and the negative ELBO comes without its constant, in nats per patch. Without one, a
        latent counts as used where the encoder's variance is on the mean below half of the
        aggregated one.
        """
        if self.options.posterior is not None:
            found = self.find_posterior(patches, self.options.posterior)
            weights = found.log_joint.softmax(1)
            of_all = weights.new_zeros(len(patches), self.options.components)
            of_all.scatter_(1, found.components, weights)
            return {
                "components used": float(perplexity(of_all.mean(0))),
                "components per patch": float(torch.special.entr(weights).sum(1).mean().exp()),
                "-ELBO": -float(found.log_evidence().mean()),
            }
        encoded = self.encoder(patches)
        weights = encoded.log_weights.exp()
        within = (weights[..., None] * (2 * encoded.log_scales).exp()).sum(1).mean(0)
        centre = (weights[..., None] * encoded.means).sum(1).mean(0)
        between = (weights[..., None] * (encoded.means - centre).square()).sum(1).mean(0)
        entropy = torch.special.entr(weights).sum(1).mean()
        return {
            "components used": float(perplexity(encoded.frequencies(self.options.components))),
            "components per patch": float(entropy.exp()),
            "latents used": float((within < between).sum()),
        }

    def divergence(self, encoded: Encoded) -> Tensor:
        """KL(q(k, z | x) || p(k, z)) from the prior of the objective: (N,)."""
        means = self.prior_means[encoded.components]
        log_scales = self.prior_log_scales[encoded.components]
        distance = (encoded.means - means).square() + (2 * encoded.log_scales).exp()
        given = (
            log_scales - encoded.log_scales + 0.5 * distance * (-2 * log_scales).exp() - 0.5
        ).sum(-1)
        of_component = encoded.log_weights + math.log(self.options.components)
        return (encoded.log_weights.exp() * (of_component + given)).sum(1)
