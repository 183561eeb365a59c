"""The refinement's Triton kernels against plain tensors: on a GPU, or in the interpreter."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from conftest import step_image

from denoise.kernels.choice import Implementation, use
from denoise.kernels.group_filters import filter_groups
from denoise.kernels.matching import match_patches
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import RefinementOptions
from denoise.refinement.refine import refine_image

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Not every version of Triton multiplies float64 matrices on a GPU; float32 needs some noise to
# invert the matrix of fewer patches than values.
ON_CPU = DEVICE.type == "cpu"
DTYPE, TOLERANCE, LEAST_RIDGE = (
    (torch.float64, 1e-5, 1e-9) if ON_CPU else (torch.float32, 1e-2, 1e-1)
)


IMPLEMENTATIONS: tuple[Implementation, ...] = ("triton", "plain")


def matched(name: Implementation, image: torch.Tensor, size: int, **more: int) -> torch.Tensor:
    with use(name):
        return match_patches(image, size, **more)


@pytest.mark.parametrize(
    ("size", "window", "group_size", "flat"),
    [(3, 4, 6, False), (2, 3, 16, False), (4, 20, 30, False), (3, 4, 6, True)],
)
def test_groups_are_those_of_its_twin(size: int, window: int, group_size: int, flat: bool) -> None:
    """Where all patches are equal, the first ones of the window are taken."""
    image = torch.randn(13, 11, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    image = torch.ones_like(image) if flat else image
    groups, twin = (
        matched(name, image, size, group_size=group_size, window=window, stride=3)
        for name in IMPLEMENTATIONS
    )
    assert torch.equal(groups[:, 0], twin[:, 0])
    if not flat:
        assert torch.equal(groups.sort(1).values, twin.sort(1).values)
    for own, *others in groups.tolist():
        row, column = divmod(own, 12 - size)
        near = [
            y * (12 - size) + x
            for y in range(14 - size)
            for x in range(12 - size)
            if abs(y - row) <= window and abs(x - column) <= window and (y, x) != (row, column)
        ]
        assert others == (near[: len(others)] if flat else sorted(set(others) & set(near)))


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(("count", "values"), [(20, 9), (9, 20), (40, 16)])
def test_filters_equal_their_twin(count: int, values: int, across: bool) -> None:
    """One group has equal patches, one has next to no noise."""
    generator = torch.Generator().manual_seed(1)
    data, pilot = torch.randn(2, 4, count, values, generator=generator, dtype=torch.float64)
    pilot = pilot * torch.tensor([0.0, 1.0, 5.0, 5.0])[:, None, None]
    ridge = torch.tensor([20.0, 0.5, 20.0, LEAST_RIDGE], dtype=torch.float64)
    with use("plain"):
        twin = filter_groups(data, pilot, ridge, across_patches=across)
    with use("triton"):
        there = (one.to(DEVICE, DTYPE) for one in (data, pilot, ridge))
        found = filter_groups(*there, across_patches=across)
    for one, other in zip(found, twin, strict=True):
        torch.testing.assert_close(one.cpu().double(), other, rtol=0, atol=TOLERANCE)


def test_a_refined_image_is_that_of_its_twin() -> None:
    clean = step_image(8, 9)[..., None]
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(0))
    pilot = clean + (noisy - clean) / 2
    options = RefinementOptions(
        patch_sizes=(3,), group_size=12, noise_kept=(1.0, 0.4, 0.0), last_patch_sizes=(4,)
    )

    def refined() -> torch.Tensor:
        data, start = (torch.tensor(one, dtype=torch.float32) for one in (noisy / 20, pilot / 20))
        image = refine_image(data.to(DEVICE), start.to(DEVICE), options, on_pass=lambda done: None)
        return 20 * image.cpu()

    with use("plain"):
        plain = refined()
    with use("triton"):
        fast = refined()
    torch.testing.assert_close(fast, plain, rtol=0, atol=0.02)
    assert np.abs(fast.numpy() - pilot).max() > 1
