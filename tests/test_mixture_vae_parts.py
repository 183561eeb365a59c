"""Parts of the VAEs with mixtures as latents, by torch's own distributions and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from denoise.errors import OptionError
from denoise.methods.vaes.gm_wae import MixtureOptions, MixtureVAE
from denoise.methods.vaes.interface import PosteriorOptions
from denoise.methods.vaes.mmd import mmd

OBJECTIVES = pytest.mark.parametrize("objective", ["transport", "elbo"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mmd() -> None:
    sample = torch.randn(60, 3, generator=seeded(1), dtype=torch.float64)
    other = torch.randn(60, 3, generator=seeded(2), dtype=torch.float64)
    assert abs(float(mmd(sample, sample))) < 1e-12
    assert mmd(sample, other + 1) > 5 * mmd(sample, other) > 0
    torch.testing.assert_close(mmd(sample, other), mmd(other, sample))
    twice = torch.cat([sample, other])
    weights = torch.cat([torch.full((60,), 1 / 60), torch.zeros(60)]).double()
    torch.testing.assert_close(mmd(twice, other, weights), mmd(sample, other))


def test_divergence_by_the_library() -> None:
    """KL over (k, z) is that of k plus the mean of those of z given k."""
    options = MixtureOptions(components=3, kept=3, latents=2, hidden=(5,))
    model = MixtureVAE(6, options, seeded())
    encoded = model.encoder(torch.randn(4, 6, generator=seeded(1)))
    given = kl_divergence(
        Normal(encoded.means, encoded.log_scales.exp()),
        Normal(
            model.prior_means[encoded.components], model.prior_log_scales[encoded.components].exp()
        ),
    ).sum(-1)
    of_component = kl_divergence(
        Categorical(logits=encoded.log_weights), Categorical(probs=torch.full((3,), 1 / 3))
    )
    expected = of_component + (encoded.log_weights.exp() * given).sum(1)
    torch.testing.assert_close(model.divergence(encoded), expected)


def test_kept_components_are_the_likeliest() -> None:
    """With fewer of them the means stay what they are, and the weights are scaled to 1."""
    options = MixtureOptions(components=5, kept=5, latents=2, hidden=(5,))
    every, some = (MixtureVAE(6, replace(options, kept=kept), seeded()).encoder for kept in (5, 2))
    patches = torch.randn(4, 6, generator=seeded(1))
    first, second = every(patches), some(patches)
    assert second.components.equal(first.components[:, :2])
    torch.testing.assert_close(second.means, first.means[:, :2])
    weights = first.log_weights.exp()[:, :2]
    torch.testing.assert_close(second.log_weights.exp(), weights / weights.sum(1, keepdim=True))
    assert float(second.frequencies(5).detach().sum()) == pytest.approx(1)


@OBJECTIVES
def test_components_used_lie_between_one_and_all(objective: str) -> None:
    options = MixtureOptions(objective=objective, components=3, latents=2)  # type: ignore[arg-type]
    model = MixtureVAE(6, options, seeded())
    patches = torch.randn(50, 6, generator=seeded(1))
    found = model.diagnostics(patches, generator=seeded(2))
    assert 1 <= found["components per patch"] <= found["components used"] <= 3 + 1e-5


@pytest.mark.parametrize("wrong", [{"kept": 0}, {"decoder_hidden": (0,)}, {"objective": "mmd"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        MixtureOptions(**wrong)


def test_there_are_never_more_latents_than_values() -> None:
    model = MixtureOptions(latents=50, components=2).build(6, seeded())
    patches = torch.randn(30, 6, generator=seeded(1))
    posterior = PosteriorOptions(epochs=2)
    model.learn_posterior(patches, posterior, generator=seeded(2), on_epoch=lambda: None)
    assert model.posterior_mean(patches, posterior, generator=seeded(3)).shape == (30, 6)
