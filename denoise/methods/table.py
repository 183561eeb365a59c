"""Every method by name, behind one signature: for the command and for its benchmark.

What a method needs is imported when it runs: names and kinds must not wait for torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from denoise.errors import OptionError
from denoise.pipeline.run import DEFAULT_RUN, Run
from denoise.presets import PRESETS, VAE_ALONE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from denoise.noise.interface import Noise
    from denoise.pipeline.results import DenoiseResult

Kind = Literal["ours", "vae", "network", "classic"]
# VAEs that learn through an encoder; NAME-encoder rebuilds patches with one pass of it.
VAES = ("vq-vae", "gumbel-vae", "gm-vae", "gm-wae", "nash-vae")
# The end of the name of a method that our refinement follows.
REFINED = "+refine"
# Methods that our refinement cannot follow, and why.
NOT_REFINED = {
    **dict.fromkeys(("fast", "balanced", "best"), "has a refinement of its own"),
    "noisy": "leaves nothing to start from",
    "biharmonic": "does not remove noise",
}


@dataclass(frozen=True)
class Method:
    """A denoiser by name.

    Attributes
    ----------
    name : for users, and in tables
    kind : "ours", another "vae", another "network" that learns from the image, or "classic"
    function : from the name, a noisy image, its noise and how to run to the result
    refine : let the filters of our refinement follow
    """

    name: str
    kind: Kind
    function: Callable[[str, ArrayLike, float | Noise, Run], DenoiseResult]
    refine: bool = False

    def denoise(
        self, image: ArrayLike, noise: float | Noise, run: Run = DEFAULT_RUN
    ) -> DenoiseResult:
        """Denoise an image; what is raised is as of `denoise_image`."""
        if self.refine:
            run = replace(run, overrides=replace(run.overrides, refine=True))
        return self.function(self.name.removesuffix(REFINED), image, noise, run)


def methods_by_name(names: Iterable[str]) -> list[Method]:
    """The methods of these names, each once; NAME+refine is NAME, then our refinement.

    Raises
    ------
    OptionError
        If there is none of that name, or no name, or if a method refines by itself.
    """
    chosen = dict.fromkeys(names)
    if not chosen:
        raise OptionError(f"no method is given; choose from {', '.join(METHODS)}")
    return [_by_name(name) for name in chosen]


def _by_name(name: str) -> Method:
    own = name.removesuffix(REFINED)
    if own not in METHODS:
        raise OptionError(f"there is no method {own!r}; choose from {', '.join(METHODS)}")
    method = METHODS[own]
    if own == name:
        return method
    check_refinable(own)
    return replace(method, name=name, refine=True)


def check_refinable(name: str) -> None:
    """Raise an OptionError if a refinement cannot follow a method."""
    if name in NOT_REFINED:
        raise OptionError(f"{name} cannot be refined: it {NOT_REFINED[name]}")


def _ours(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    from denoise.pipeline.image import denoise_one
    from denoise.pipeline.tiled import denoise_in_tiles
    from denoise.pipeline.tiles import is_large

    run = replace(run, preset=name)
    if run.time_budget is None and is_large(image, noise):
        return denoise_in_tiles(image, noise, run)
    return denoise_one(image, noise, run)


def _our_vae(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    result = _ours(name, image, noise, run)
    if not result.elbo_history:  # learned on another image
        return result
    # Without the constant of the likelihood, as other VAEs report it.
    vae = result.models[0]
    constant = (vae.patch_size**2 * vae.channels - 1) / 2 * math.log(2 * math.pi)
    return replace(result, diagnostics={"-ELBO": -result.elbo_history[-1] - constant})


def _other_vae(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    from denoise.methods.vaes.other_vaes import denoise_with_other_vae, other_vae_options

    return denoise_with_other_vae(image, noise, other_vae_options(name, run.overrides), run)


def _v_mfa(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    from denoise.methods.mfa.v_mfa import denoise_with_v_mfa, mfa_options

    return denoise_with_v_mfa(image, noise, mfa_options(run.overrides), run)


def _zs_n2n(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    from denoise.methods.zs_n2n import denoise_with_zs_n2n

    return denoise_with_zs_n2n(image, noise, run)


def _classic(name: str, image: ArrayLike, noise: float | Noise, run: Run) -> DenoiseResult:
    from denoise.methods.classic import denoise_with_filter

    return denoise_with_filter(name, image, noise, run)


METHODS: dict[str, Method] = {
    **{name: Method(name, "ours", _ours) for name in PRESETS},
    **{name: Method(name, "ours", _our_vae) for name in VAE_ALONE},
    **{
        name: Method(name, "vae", _other_vae)
        for name in (*VAES, *(f"{name}-encoder" for name in VAES))
    },
    "v-mfa": Method("v-mfa", "vae", _v_mfa),
    "zs-n2n": Method("zs-n2n", "network", _zs_n2n),
    **{
        name: Method(name, "classic", _classic)
        for name in ("noisy", "blur", "tv", "nl-means", "wavelet", "bm3d", "biharmonic")
    },
}
