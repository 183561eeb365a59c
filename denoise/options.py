"""Every setting of a run: its default, bounds and unit, once. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from denoise.errors import OptionError

Decoder = Literal["amplitude", "mlp"]
ParentSelection = Literal["fitness", "best", "uniform"]
Mutation = Literal["neighbours", "guided", "random", "sparse"]
Schedule = Literal["one-cycle", "cyclic"]
NoiseKind = Literal["auto", "gaussian", "poisson-gaussian"]
# The model of this library among those that a user may choose.
OWN_MODEL = "tvae"


def require_choice(name: str, value: str, choices: object) -> None:
    """Raise an OptionError if a value is not among those of a Literal."""
    known = get_args(choices)
    require(value in known, f"{name} must be one of {', '.join(known)}, got {value!r}")


def require_positive(settings: object, *names: str) -> None:
    """Raise an OptionError where a number is not finite and above zero."""
    for name in names:
        value = getattr(settings, name)
        require(0 < value < math.inf, f"{name} must be positive, got {value}")


def _require_shares(settings: object, *names: str) -> None:
    for name in names:
        require(0 <= getattr(settings, name) <= 1, f"{name} is a share, from 0 to 1")


def _require_patch_sizes(sizes: tuple[int, ...]) -> None:
    require(len(sizes) > 0 and min(sizes) >= 2, f"patch_sizes must be at least 2, got {sizes}")


def require(condition: bool, message: str) -> None:
    """Raise an OptionError where the condition does not hold."""
    if not condition:
        raise OptionError(message)


@dataclass(frozen=True)
class ModelOptions:
    """Shape of the VAE and the units of its data.

    Attributes
    ----------
    patch_sizes : side p of a square patch, in pixels; for each one a model is learned, and
        the images that they rebuild are averaged
    decoder : "amplitude" gives every active latent a Gaussian amplitude, "mlp" is the published
        model
    latents : number H of binary latents
    hidden : widths of the hidden layers of the MLP; () gives a linear mean ("mlp" only, else None)
    max_active : most latents on in one patch ("amplitude" only)
    leak : slope of the hidden activation below zero; 0 is a ReLU, 0.01 the usual leaky ReLU
    free_patch_mean : integrate the brightness of each patch out under a flat prior, so that
        no latents are spent on it; False is the published model
    expected_active : initial sum of the prior probabilities; pi_h starts at this over H
    pixel_scale : pixel values are divided by this; None divides by sigma
    learn_noise_variance : update sigma^2 in closed form; False keeps the given sigma
    """

    patch_sizes: tuple[int, ...] = (7,)
    decoder: Decoder = "amplitude"
    latents: int = 256
    hidden: tuple[int, ...] | None = None
    max_active: int = 8
    leak: float = 0.0
    free_patch_mean: bool = True
    expected_active: float = 4.0
    pixel_scale: float | None = None
    learn_noise_variance: bool = False

    def __post_init__(self) -> None:
        _require_patch_sizes(self.patch_sizes)
        require_choice("decoder", self.decoder, Decoder)
        require(
            (self.decoder == "mlp") == (self.hidden is not None),
            "the decoder mlp needs hidden layers, and only this one has them",
        )
        require_positive(self, "max_active")
        require(1 <= self.latents < 2**15, f"latents must lie in 1..32767, got {self.latents}")
        require(
            0 < self.expected_active < self.latents,
            f"expected_active must lie between 0 and latents, got {self.expected_active}",
        )
        require(all(width >= 1 for width in self.hidden or ()), f"hidden widths are {self.hidden}")
        require(0 <= self.leak < 1, f"leak must lie in [0, 1), got {self.leak}")
        require(
            self.pixel_scale is None or 0 < self.pixel_scale < math.inf,
            f"pixel_scale must be positive, got {self.pixel_scale}",
        )


@dataclass(frozen=True)
class SearchOptions:
    """The evolutionary search that improves the states of every patch.

    Attributes
    ----------
    states : number S of states kept per patch
    parents, children, generations : a step breeds generations × parents × children states
    parent_selection : "fitness" draws parents in proportion to their log joint above that of
        the worst candidate, without replacement; "best" takes the likeliest; "uniform" any
    mutation : "neighbours" expands the likeliest states that have not been, parents × generations
        of them per step, into their best single-bit neighbours; "guided" flips the bit that the
        decoder's gradient calls for, "random" any one bit, "sparse" flips several bits towards
        the number that the prior expects
    reach : states less likely than the likeliest one by more nats are not expanded ("neighbours"
        only)
    crossover : before mutation, follow each parent up to a random latent, then the next one; this
        and parent_selection do not matter to "neighbours"
    """

    states: int = 16
    parents: int = 2
    children: int = 6
    generations: int = 1
    parent_selection: ParentSelection = "best"
    mutation: Mutation = "neighbours"
    crossover: bool = False
    reach: float = 5.0

    def __post_init__(self) -> None:
        require_positive(self, "states", "parents", "children", "generations")
        require(self.reach >= 0, f"reach must be at least 0, got {self.reach}")
        require_choice("parent_selection", self.parent_selection, ParentSelection)
        require_choice("mutation", self.mutation, Mutation)


@dataclass(frozen=True)
class TrainingOptions:
    """How the decoder learns.

    Attributes
    ----------
    epochs : passes over the training patches
    patch_budget : train on at most this many patches, drawn at random
    batch_size : patches per search and gradient step
    learning_rate : (lowest, highest) rate of Adam
    schedule : "one-cycle" rises once and falls to the end; "cyclic" is a triangle wave
    half_cycle : epochs from lowest to highest rate ("cyclic" only)
    initial_noise : factor on sigma^2 at the start; None starts at the variance of the data
    annealing : share of the epochs over which sigma^2 falls linearly to its given value
    prior_hold : share of the epochs that keep the initial prior, until latents have found a use
    memory : epochs over which amplitudes remember batches ("amplitude" only)
    """

    epochs: int = 6
    patch_budget: int = 65_536
    batch_size: int = 4096
    learning_rate: tuple[float, float] = (1e-4, 2e-2)
    schedule: Schedule = "one-cycle"
    half_cycle: int = 10
    initial_noise: float | None = 4.0
    annealing: float = 0.6
    prior_hold: float = 0.4
    memory: float = 0.5

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "patch_budget", "batch_size", "half_cycle")
        lowest, highest = self.learning_rate
        require(
            0 < lowest <= highest, f"learning rates must rise from above 0, got {lowest, highest}"
        )
        require_choice("schedule", self.schedule, Schedule)
        require(
            self.initial_noise is None or 0 < self.initial_noise < math.inf,
            f"initial_noise must be positive, got {self.initial_noise}",
        )
        _require_shares(self, "annealing", "prior_hold")
        require_positive(self, "memory")


@dataclass(frozen=True)
class InferenceOptions:
    """How the posterior of all patches is found once the decoder is learned.

    Attributes
    ----------
    pool_size : the most used states of the training patches, tried on every patch first
        ("mlp" only; else the search starts with no latent on)
    search_steps : search steps that follow
    stride : distance of the patches that are rebuilt, in pixels; the last ones of a row and of a
        column are among them
    chunk_size : patches handled at a time; bounds memory, changes results by rounding only
    """

    pool_size: int = 1024
    search_steps: int = 6
    stride: int = 1
    chunk_size: int = 4096

    def __post_init__(self) -> None:
        require_positive(self, "pool_size", "stride", "chunk_size")
        require(self.search_steps >= 0, "search_steps must be at least 0")


@dataclass(frozen=True)
class RefinementOptions:
    """The non-local stage that follows the VAE; see refinement/refine.py.

    Attributes
    ----------
    patch_sizes : side of its patches, in pixels; the results for several are averaged
    stride : distance of the reference patches, in pixels
    window : farthest similar patch, in pixels
    wiener_passes, wiener_group : passes that filter the data within patches, guided by the VAE's
        image and then by their own result, and patches per group in them
    group_size : similar patches that are filtered together in the passes that follow
    passes_per_match : passes after which similar patches are found anew
    noise_kept : for each pass, the standard deviation of the noise that is kept in the data for the
        next one, in units of the noise that there was
    passes_per_colour_pass : of so many of those passes the last one filters the opponent colours;
        all of them filter brightness
    last_patch_sizes : sides of the patches of the last passes, one each: as the first ones, but
        guided by the mean of all that came before; their results are averaged
    hole_passes : passes that fill in missing pixels
    """

    patch_sizes: tuple[int, ...] = (6,)
    stride: int = 3
    window: int = 31
    wiener_passes: int = 1
    wiener_group: int = 20
    group_size: int = 40
    passes_per_match: int = 2
    noise_kept: tuple[float, ...] = (0.625, 0.5, 0.375, 0.25, 0.125, 0.0)
    passes_per_colour_pass: int = 2
    last_patch_sizes: tuple[int, ...] = ()
    hole_passes: int = 24

    def __post_init__(self) -> None:
        require_positive(self, "stride", "window", "wiener_group", "group_size", "passes_per_match")
        require_positive(self, "hole_passes", "passes_per_colour_pass")
        require(self.wiener_passes >= 0, "wiener_passes must be at least 0")
        _require_patch_sizes(self.patch_sizes)
        sizes = self.last_patch_sizes
        require(all(size >= 2 for size in sizes), f"last_patch_sizes are at least 2, got {sizes}")
        require(len(self.noise_kept) > 0, "noise_kept must name at least one pass")
        require(all(0 <= kept <= 1 for kept in self.noise_kept), "noise_kept are shares, up to 1")

    @property
    def passes(self) -> int:
        """Passes with patches of one size, before the last ones."""
        return self.wiener_passes + len(self.noise_kept)


@dataclass(frozen=True)
class DenoiseOptions:
    """All settings of a run; `presets.preset` makes the useful ones. No refinement if None."""

    model: ModelOptions = field(default_factory=ModelOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    refinement: RefinementOptions | None = None

    def __post_init__(self) -> None:
        states, latents = self.search.states, self.model.latents
        require(
            self.inference.stride <= min(self.model.patch_sizes),
            f"a stride of {self.inference.stride} leaves gaps between patches of"
            f" {min(self.model.patch_sizes)} pixels",
        )
        require(
            self.model.decoder == "mlp" or self.search.mutation == "neighbours",
            f"the amplitude decoder needs the mutation 'neighbours', got {self.search.mutation!r}",
        )
        require(states <= 2**latents, f"{latents} latents have no {states} distinct states")
