"""Classes of patches in the experiments."""

from __future__ import annotations

import pytest
import torch

from patch_classes import CLASSES, classify


@pytest.mark.parametrize(
    ("down", "right", "name"),
    [(1, 0, "edge 0°"), (0, 1, "edge 90°"), (1, 1, "edge 45°"), (1, -1, "edge 135°")],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_edges_by_orientation(down: int, right: int, sign: int, name: str) -> None:
    """Brightness grows across the edge: down and to the right is across a rising diagonal."""
    steps = torch.arange(8.0)
    place = down * steps[:, None] + right * steps
    patch = 100 * torch.sigmoid(sign * (place - place.mean()))
    assert CLASSES[int(classify(patch[None, :, :, None])[0])] == name


def test_flat_patches_and_texture() -> None:
    steps = torch.arange(8.0)
    slope = steps[:, None] + steps
    checks = 50 * ((steps[:, None] // 2 + steps // 2) % 2)
    found = classify(torch.stack([slope, checks])[..., None])
    assert [CLASSES[number] for number in found.tolist()] == ["flat", "texture"]
