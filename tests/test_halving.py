"""Running out of memory, simulated: halves do the work of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_AMPLITUDE, noisy_file, run_cli, step_image

from denoise import denoise_image
from denoise.devices import PartsThatFit
from denoise.errors import DeviceError
from denoise.kernels.choice import use
from denoise.options import DenoiseOptions
from denoise.pipeline import stages

LIMIT = 30


def test_halves_come_in_order_and_what_fits_is_remembered() -> None:
    tried: list[slice] = []
    parts = PartsThatFit()

    def work(rows: slice) -> list[int]:
        tried.append(rows)
        if rows.stop - rows.start > (8 if rows.start < 8 else 3):
            raise torch.OutOfMemoryError("simulated")
        return list(range(rows.start, rows.stop))

    def done(count: int) -> list[int]:
        tried.clear()
        return [row for part in parts.results(work, count) for row in part]

    assert done(1) == [0]
    assert done(16) == list(range(16))
    assert tried[:3] == [slice(0, 16), slice(0, 8), slice(8, 16)]
    assert len(tried) == 2 + 1 + 2 * 3
    assert done(11) == list(range(11))
    assert tried[0] == slice(0, 2)
    assert len(tried) == 6


def test_one_row_too_many_is_an_error() -> None:
    def work(rows: slice) -> None:
        raise torch.OutOfMemoryError("simulated")

    with pytest.raises(torch.OutOfMemoryError, match="simulated"):
        PartsThatFit().results(work, 5)


def test_what_does_not_fit_at_all_is_one_line_and_other_images_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_preset: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        noisy_file(Path(f"in/{name}.png"))
    calls: list[str] = []

    def refine_image(*arguments: Any, **options: Any) -> Any:
        calls.append("once")
        if len(calls) == 1:
            raise torch.OutOfMemoryError("simulated")
        return original(*arguments, **options)

    original = stages.refine_image
    monkeypatch.setattr(stages, "refine_image", refine_image)
    code, _, stderr = run_cli(
        "in", "-o", "out", "--sigma", "20", "--decoder", "amplitude", "--quiet"
    )
    assert code == 1
    assert stderr == "error: in/a.png: out of GPU memory; use the device cpu\n"
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]


def limited(work: Callable[..., Any], sizes: list[int], *, late: bool) -> Callable[..., Any]:
    """The same method, which has memory for `LIMIT` patches; notes how many it was given.

    With `late`, it notices once all is done.
    """

    def limited_work(model: Any, patches: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(patches))
        if len(patches) > LIMIT:
            if late:
                work(model, patches, *arguments, **options)
            raise torch.OutOfMemoryError("simulated")
        return work(model, patches, *arguments, **options)

    return limited_work


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])
def test_the_image_is_the_same_where_memory_is_scarce(
    monkeypatch: pytest.MonkeyPatch, options: DenoiseOptions, plain: bool, late: bool
) -> None:
    noisy = step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))
    options = replace(options, refinement=None)
    with use("plain" if plain else None):
        models = denoise_image(noisy, 20, options=options, device="cpu").models

        def denoised() -> Any:
            return denoise_image(
                noisy, 20, options=options, models=models, device="cpu", with_uncertainty=True
            )

        whole = denoised()
        sizes: list[int] = []
        for name in ("start_states", "posterior_mean", "posterior_moments"):
            model = type(models[0].model)
            monkeypatch.setattr(model, name, limited(getattr(model, name), sizes, late=late))
        halved = denoised()
    assert max(sizes) > LIMIT
    assert min(sizes) <= LIMIT
    np.testing.assert_allclose(halved.image, whole.image, rtol=0, atol=0.02)
    np.testing.assert_allclose(halved.uncertainty, whole.uncertainty, rtol=0, atol=0.02)


def test_a_training_batch_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*arguments: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr("denoise.vae.training.improve", no_memory)
    with pytest.raises(DeviceError, match="out of GPU memory; use the device cpu"):
        denoise_image(step_image(), 20, options=TINY, device="cpu")
