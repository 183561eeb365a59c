"""Truncated posteriors of VAEs with binary latents: this library's search, from the encoder on.

Decoder and prior of such a VAE are those of `MLPVAE` with the noise variance 1, so that its search
and its learning under the truncated posterior apply as they are (Drefs et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from denoise.methods.vaes.interface import PosteriorOptions
from denoise.methods.vaes.networks import draw_bits
from denoise.options import SearchOptions, TrainingOptions
from denoise.patches import Patches
from denoise.vae.gradient import GradientLearner
from denoise.vae.mlp import MLP
from denoise.vae.mlp_vae import MLPVAE
from denoise.vae.model import PRIOR_BOUNDS
from denoise.vae.search import calibrate, improve
from denoise.vae.states import LatentStates
from denoise.vae.stored_states import PackedStates
from denoise.vae.training import train

# States that the encoder proposes: its likeliest one, and draws.
DRAWS = 4
# States for each parent in a step of the search, and children of each parent.
STATES_PER_PARENT, CHILDREN = 4, 4
BATCH_SIZE = 512
LOWEST_LEARNING_RATE = 1e-4


def searched(decoder: MLP, prior_logits: Tensor) -> MLPVAE:
    """The generative half of the VAE as the search knows it; the decoder is shared."""
    prior_probs = prior_logits.detach().sigmoid().clamp(*PRIOR_BOUNDS)
    return MLPVAE(decoder, prior_probs, prior_probs.new_ones(()))


def search_options(posterior: PosteriorOptions) -> SearchOptions:
    """Flips that the decoder's gradient calls for."""
    parents = -(-posterior.states // STATES_PER_PARENT)
    return SearchOptions(
        states=posterior.states, parents=parents, children=CHILDREN, mutation="guided"
    )


def proposed_states(logits: Tensor, count: int, generator: torch.Generator) -> LatentStates:
    """`count` places for each patch, as many of them filled as the encoder proposes states.

    Parameters
    ----------
    logits : (N, H) of the encoder
    """
    draws = min(DRAWS, count - 1)
    bits = torch.stack(
        [logits > 0, *(draw_bits(logits, generator).bool() for _ in range(draws))], 1
    )
    log_joints = logits.new_full((len(logits), count), -torch.inf)
    log_joints[:, : 1 + draws] = 0
    empty = bits[:, :1].expand(-1, count - 1 - draws, -1)
    states = LatentStates(torch.cat([bits, empty], 1), log_joints)
    return states.merged()  # draws that are alike are kept once


@torch.no_grad()
def find_states(
    model: MLPVAE,
    patches: Tensor,
    logits: Tensor,
    posterior: PosteriorOptions,
    generator: torch.Generator,
) -> LatentStates:
    """The truncated posterior of patches (N, D), for which the encoder gives `logits` (N, H)."""
    options = search_options(posterior)
    start = proposed_states(logits, posterior.states, generator)
    calibrate(model, start.bits[:, 0], options)
    key = (int(torch.randint(2**31, (), generator=generator)),)
    found = improve(model, numbered(patches), start, options, key=key, steps=posterior.steps)
    return LatentStates(found.bits, found.log_joints)


def learn(
    model: MLPVAE,
    patches: Tensor,
    logits: Tensor,
    posterior: PosteriorOptions,
    *,
    generator: torch.Generator,
    on_epoch: Callable[[], None],
) -> None:
    """Search and learn in turn, decoder and prior, from the states that the encoder proposes."""
    if posterior.epochs == 0:
        return
    training = TrainingOptions(
        epochs=posterior.epochs,
        batch_size=BATCH_SIZE,
        learning_rate=(min(LOWEST_LEARNING_RATE, posterior.learning_rate), posterior.learning_rate),
        initial_noise=1.0,
        annealing=0.0,
        prior_hold=0.0,
    )
    for _ in train(
        model,
        GradientLearner(model, training, patch_count=len(patches)),
        numbered(patches),
        PackedStates.of(proposed_states(logits, posterior.states, generator)),
        search=search_options(posterior),
        training=training,
        learn_noise_variance=False,
        seed=int(torch.randint(2**31, (), generator=generator)),
    ):
        on_epoch()


def numbered(patches: Tensor) -> Patches:
    """Patches (N, D) as the search takes them."""
    return Patches.from_raw(patches, torch.arange(len(patches), device=patches.device))
