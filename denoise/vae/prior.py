"""What every model of patches offers to those that look at it: patches drawn from its prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Patches drawn from a model's prior.

    Attributes
    ----------
    patches : (n, D) float, without noise
    groups : (n,) int64, what they are sorted by: the component of a mixture, the code of a slot;
        None if the model has nothing of that kind
    group_name : what a group is
    """

    patches: Tensor
    groups: Tensor | None
    group_name: str = "component"


class PatchPrior(Protocol):
    """A model of the patches of an image, as far as drawing from it goes."""

    @property
    def patch_size(self) -> int:
        """Side p of a patch, in pixels."""

    @property
    def channels(self) -> int:
        """C, of the image."""

    def sample(self, count: int, *, seed: int) -> Samples:
        """Draw `count` patches, D = p·p·C in the order of `PatchGrid`.

        They are in the units of the stabilised image; their means are zero where the model leaves
        out brightness.
        """
