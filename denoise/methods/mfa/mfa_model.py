"""The model of v-MFA: its settings, how it learns from patches, and what it makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from denoise.errors import TrainingError
from denoise.methods.mfa.component_search import (
    TruncatedPosteriors,
    members,
    nearest_means,
    try_components,
)
from denoise.methods.mfa.factor_analysers import FactorAnalysers
from denoise.methods.mfa.mixture_learning import (
    collect,
    learned,
    loadings_divergence,
    with_principal_directions,
)
from denoise.methods.mfa.seeding import afkmc2
from denoise.methods.vaes.interface import Diagnostics
from denoise.methods.vaes.networks import perplexity
from denoise.options import require, require_choice, require_positive
from denoise.vae.prior import Samples

Merge = Literal["median", "mean"]
Loadings = Literal["posterior", "point"]
# Where training patches are few, there are fewer components, so that each has about this many.
PATCHES_PER_COMPONENT = 30
# Steps of the search for the components of a patch once the mixture is learned.
SEARCH_STEPS = 5


@dataclass(frozen=True)
class EMBudget:
    """How long a mixture learns.

    Attributes
    ----------
    epochs : steps of EM, each over all training patches
    patch_budget : train on at most this many patches, drawn at random
    """

    epochs: int = 20
    patch_budget: int = 65_536

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "patch_budget")


@dataclass(frozen=True, kw_only=True)
class MFAOptions:
    """Settings of a mixture of factor analysers that denoises.

    Attributes
    ----------
    patch_size : side p of a square patch, in pixels
    components : most components K; there are fewer where training patches are few
    factors : latent factors H of each component, no more than a patch has values
    free_patch_mean : take the mean of each patch out before the model and add it back after it
    kept : components C' in the truncated posterior of a patch
    neighbours : length G of the lists of components that resemble each other; at least `kept`
    random_tries : components drawn at random that each patch tries in a step of learning
    mean_epochs : steps of EM before the components get their factors
    loadings : give the loadings of the factors a "posterior" (Ghahramani, Beal, NIPS 1999), so that
        needless factors vanish, or estimate a "point" as published
    learn_noise_variance : learn the noise variance, which is the given one at the start
    merge : how patches that overlap are merged, by the "median" or by the "mean"
    """

    patch_size: int = 8
    components: int = 200
    factors: int = 16
    free_patch_mean: bool = True
    kept: int = 3
    neighbours: int = 15
    random_tries: int = 1
    mean_epochs: int = 3
    loadings: Loadings = "posterior"
    learn_noise_variance: bool = False
    merge: Merge = "median"
    training: EMBudget = EMBudget()

    def __post_init__(self) -> None:
        require(self.patch_size >= 2, f"patch_size must be at least 2, got {self.patch_size}")
        require_positive(self, "components", "factors", "kept", "neighbours")
        require(
            self.kept <= self.neighbours,
            f"neighbours must be at least kept, {self.kept}, got {self.neighbours}",
        )
        require(
            min(self.random_tries, self.mean_epochs) >= 0,
            "random_tries and mean_epochs must be at least 0",
        )
        require_choice("merge", self.merge, Merge)
        require_choice("loadings", self.loadings, Loadings)


@dataclass(frozen=True)
class MFAModel:
    """A mixture that was learned.

    Attributes
    ----------
    mixture : of patches of D values
    neighbours : (K, G) int64, for each component those that resemble it, itself among them
    kept : components in the truncated posterior of a patch
    bounds : mean bound of a training patch before each step of EM, in nats, with its share of the
        divergence of the loadings
    """

    mixture: FactorAnalysers
    neighbours: Tensor
    kept: int
    bounds: tuple[float, ...]

    def posteriors(self, patches: Tensor) -> TruncatedPosteriors:
        """Truncated posteriors of patches (N, D), whether they were trained on or not."""
        components = nearest_means(patches, self.mixture.means, self.kept)
        for _ in range(SEARCH_STEPS):
            trials = try_components(self.mixture, patches, components, self.neighbours)
            found = trials.best(self.kept)
            components = found.components
        return found

    def posterior_mean(self, patches: Tensor) -> Tensor:
        """Mean of the patches without noise under the truncated posterior: (N, D) -> (N, D)."""
        posteriors = self.posteriors(patches)
        total = torch.zeros_like(patches)
        slots = zip(
            posteriors.components.unbind(1), posteriors.probabilities.unbind(1), strict=True
        )
        for slot, weights in slots:
            for component, rows in members(slot):
                means = self.mixture.clean_means(patches[rows], component)
                total[rows] += weights[rows, None] * means
        return total

    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw `count` patches, sorted by their components."""
        patches, components = self.mixture.sample(count, generator)
        order = components.argsort(stable=True)
        return Samples(patches[order], components[order])

    def diagnostics(self, patches: Tensor) -> Diagnostics:
        """The loss (in nats per patch, as of other VAEs); components used, in all and per patch."""
        constant = 0.5 * patches.shape[1] * math.log(2 * math.pi)
        per_patch = perplexity(self.posteriors(patches).probabilities)
        return {
            "loss": -self.bounds[-1] - constant,
            "components used": float(perplexity(self.mixture.log_weights.exp())),
            "components per patch": float(per_patch.mean()),
            "noise": math.sqrt(self.mixture.noise_variance),
        }


def learn_mfa(
    patches: Tensor,
    options: MFAOptions,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> MFAModel:
    """Learn a mixture by truncated EM.

    Parameters
    ----------
    patches : (N, D) float, with noise of variance 1
    generator : on the CPU; the seeds, the first directions of the factors and the random tries
    on_epoch : called with the number of finished epochs

    Raises
    ------
    TrainingError
        If the bound is not finite after an epoch.
    """
    count = max(min(options.components, len(patches) // PATCHES_PER_COMPONENT), 1)
    kept, length = min(options.kept, count), min(options.neighbours, count)
    epochs = options.training.epochs
    means = patches[afkmc2(patches, count, generator)]
    mixture = FactorAnalysers.around(means, min(options.factors, patches.shape[1]))
    components = nearest_means(patches, means, kept)
    neighbours = nearest_means(means, means, length)
    first_with_factors = min(options.mean_epochs, epochs - 1)
    bounds = []
    for epoch in range(epochs):
        trials = try_components(
            mixture,
            patches,
            components,
            neighbours,
            random_tries=options.random_tries,
            generator=generator,
        )
        posteriors, neighbours = trials.best(kept), trials.neighbours(neighbours)
        components = posteriors.components
        bounds.append(float(posteriors.bounds.double().mean()))
        if options.loadings == "posterior" and epoch > first_with_factors:
            used = mixture.log_weights > -torch.inf
            bounds[-1] -= float(loadings_divergence(mixture)[used].sum()) / len(patches)
        if not math.isfinite(bounds[-1]):
            raise TrainingError(f"the bound became {bounds[-1]} in epoch {epoch + 1}")
        if epoch == first_with_factors:
            first = components[:, 0]
            mixture = with_principal_directions(mixture, patches, first, generator)
        mixture = learned(
            mixture,
            collect(mixture, patches, posteriors),
            with_posterior=options.loadings == "posterior" and epoch >= first_with_factors,
            learn_noise=options.learn_noise_variance and epoch >= first_with_factors,
        )
        on_epoch(epoch + 1)
    return MFAModel(mixture, neighbours, kept, tuple(bounds))
