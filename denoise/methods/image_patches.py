"""The patches of a noisy image, for methods that learn from patches of one size alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise.patches import PatchGrid, PatchMerger
from denoise.vae.prior import Samples

# Patches rebuilt at a time.
CHUNK_SIZE = 4096


class Sampler(Protocol):
    """A model of patches in units of sigma."""

    def sample(self, count: int, *, generator: torch.Generator) -> Samples:
        """Draw `count` patches."""


@dataclass(frozen=True)
class ImagePatches:
    """The patches of an image, along some axes, with noise of variance 1.

    Attributes
    ----------
    pixels : (height, width, C) float32, in units of sigma
    grid : all places of patches
    basis : (D, D'), orthonormal
    """

    pixels: Tensor
    grid: PatchGrid
    basis: Tensor

    @classmethod
    def of(
        cls,
        image: NDArray[np.floating],
        patch_size: int,
        device: torch.device | str = "cpu",
        *,
        free_mean: bool = True,
    ) -> ImagePatches:
        """The patches of an image.

        Parameters
        ----------
        image : (height, width) or (height, width, C), in units of sigma
        patch_size : side of a patch, in pixels
        free_mean : leave the mean of each patch to the image: D' = D - 1, else D' = D
        """
        pixels = torch.as_tensor(image, dtype=torch.float32, device=device)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        grid = PatchGrid.of(pixels, patch_size)
        values = len(grid.offsets)
        basis = mean_free_basis(values) if free_mean else torch.eye(values)
        return cls(pixels, grid, basis.to(device))

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """At most `count` different patches, drawn at random: (N, D')."""
        chosen = torch.randperm(len(self.grid), generator=generator)[:count]
        return self.grid.extract(self.pixels, chosen.to(self.pixels.device)) @ self.basis

    @torch.no_grad()
    def rebuilt(
        self,
        estimate: Callable[[Tensor], Tensor],
        *,
        stride: int = 1,
        on_patches: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """The image of noise-free patches, each with its own mean: (height, width, C).

        Parameters
        ----------
        estimate : the noise-free patches, (N, D') -> (N, D')
        stride : distance of the patches, in pixels
        on_patches : called with the number of patches that are done
        """
        merger, done = PatchMerger(self.grid, like=self.pixels), 0
        for index in self.grid.every(stride).split(CHUNK_SIZE):
            patches = self.grid.extract(self.pixels, index)
            found = estimate(patches @ self.basis) @ self.basis.T + patches.mean(1, keepdim=True)
            merger.add(found, index, torch.ones_like(found[:, 0]))
            done += len(index)
            on_patches(done)
        return merger.image()

    def prior(self, model: Sampler, sigma: float) -> ModelPrior:
        """A model that was learned from these patches, to draw others from."""
        return ModelPrior(model, self.basis, sigma, self.grid.patch_size, self.grid.image_shape[2])


@dataclass(frozen=True)
class ModelPrior:
    """A `PatchPrior` of a model that sees patches along some axes.

    Attributes
    ----------
    model : its patches have D' values, in units of sigma
    basis : (D, D'), orthonormal; with D' = D - 1 it leaves out the mean
    sigma : of the stabilised image
    patch_size : side of a patch, in pixels
    channels : of the image
    """

    model: Sampler
    basis: Tensor
    sigma: float
    patch_size: int
    channels: int

    def sample(self, count: int, *, seed: int) -> Samples:
        """As `PatchPrior.sample`."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = self.model.sample(count, generator=generator)
        return replace(drawn, patches=self.sigma * drawn.patches @ self.basis.T)


def mean_free_basis(values: int) -> Tensor:
    """Orthonormal basis of the patches whose mean is zero: (D, D - 1)."""
    start = torch.eye(values, dtype=torch.float64)
    start[:, 0] = 1
    basis: Tensor = torch.linalg.qr(start).Q[:, 1:]
    return basis.to(torch.float32)
