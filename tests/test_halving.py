"""Running out of memory, simulated: halves do the work of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, step_image

from denoise import denoise_image, fast_path, learning, reconstruction, training
from denoise.halving import in_parts
from denoise.options import DenoiseOptions

LIMIT = 30


def test_halves_come_in_order_and_only_where_they_are_needed() -> None:
    tried: list[slice] = []

    def work(rows: slice) -> list[int]:
        tried.append(rows)
        if rows.stop - rows.start > (8 if rows.start < 8 else 3):
            raise torch.OutOfMemoryError("simulated")
        return list(range(rows.start, rows.stop))

    assert [row for part in in_parts(work, 16) for row in part] == list(range(16))
    assert tried[:2] == [slice(0, 16), slice(0, 8)]
    assert len(tried) == 3 + 2 + 4
    assert in_parts(work, 1) == [[0]]


def test_one_row_too_many_is_an_error() -> None:
    def work(rows: slice) -> None:
        raise torch.OutOfMemoryError("simulated")

    with pytest.raises(torch.OutOfMemoryError, match="simulated"):
        in_parts(work, 5)


def limited(work: Callable[..., Any], sizes: list[int]) -> Callable[..., Any]:
    """The same function, which has memory for `LIMIT` patches; takes down what it was given."""

    def limited_work(model: Any, patches: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(patches))
        if len(patches) > LIMIT:
            raise torch.OutOfMemoryError("simulated")
        return work(model, patches, *arguments, **options)

    return limited_work


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])
def test_the_image_is_the_same_where_memory_is_scarce(
    monkeypatch: pytest.MonkeyPatch, options: DenoiseOptions, plain: bool
) -> None:
    noisy = step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))
    options = replace(options, refinement=None)
    if plain:
        monkeypatch.setattr(fast_path, "kernels_for", lambda model, patches: None)
    whole = denoise_image(noisy, 20, options=options, device="cpu", with_uncertainty=True)
    sizes: list[int] = []
    for module, name in (
        (training, "improve"),
        (learning, "gradient"),
        (learning, "amplitude_sums"),
        (reconstruction, "improve"),
        (reconstruction, "posterior_mean"),
    ):
        monkeypatch.setattr(module, name, limited(getattr(module, name), sizes))
    halved = denoise_image(noisy, 20, options=options, device="cpu", with_uncertainty=True)
    assert max(sizes) > LIMIT
    assert min(sizes) <= LIMIT
    # Sums are taken in another order; the states, and with them the image, follow.
    np.testing.assert_allclose(halved.image, whole.image, rtol=0, atol=0.02)
    assert halved.elbo_history == pytest.approx(whole.elbo_history, rel=1e-5)
    assert whole.uncertainty is not None
    assert halved.uncertainty is not None
    np.testing.assert_allclose(halved.uncertainty, whole.uncertainty, rtol=0, atol=0.02)
