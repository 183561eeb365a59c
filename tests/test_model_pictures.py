"""Samples of what was learned, the patches nearest to them, and the pictures of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    TINY,
    TINY_AMPLITUDE,
    all_states,
    make_amplitude_vae,
    make_mlp_vae,
    noisy_file,
    run_cli,
    step_image,
)
from torch import Tensor

from denoise import DenoiseOptions, denoise_image
from denoise.files.images import read_image
from denoise.methods.table import METHODS, VAES
from denoise.noise.gaussian import GaussianNoise, add_gaussian_noise
from denoise.pictures import models
from denoise.pictures.comparison import CAPTION_HEIGHT
from denoise.pictures.models import SAMPLES_PER_ROW, draw_models, nearest_patches, rows_of
from denoise.pipeline.results import DenoiseResult
from denoise.pipeline.run import Run
from denoise.presets import Overrides
from denoise.vae.prior import PatchPrior, Samples

OTHER_VAES = [*VAES, "v-mfa"]
NOISY = add_gaussian_noise(step_image(), 20, generator=np.random.default_rng(0))
SHORT = ("--epochs", "2", "--training-patches", "100")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def denoised(
    name: str, noisy: np.ndarray = NOISY, sigma: float = 20, seed: int = 0
) -> DenoiseResult:
    run = Run(overrides=Overrides(epochs=2, patch_budget=150), seed=seed, device="cpu")
    return METHODS[name].denoise(noisy, sigma, run)


def prior_of(result: DenoiseResult) -> PatchPrior:
    assert result.prior is not None
    return result.prior


@pytest.mark.parametrize("free_mean", [False, True])
def test_samples_of_the_amplitude_model_have_its_covariance(free_mean: bool) -> None:
    """E[x x^T] = W^T diag(pi) W, since E[z a^2] = pi; without a mean, W comes without it."""
    model = make_amplitude_vae(3, 5, free_patch_mean=free_mean)
    vectors = model.vectors - model.vectors.mean(1, keepdim=True) * free_mean
    drawn = model.sample(200_000, seeded())
    expected = vectors.T @ torch.diag(model.prior_probs) @ vectors
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), expected, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.mean(0), torch.zeros_like(drawn[0]), atol=0.01, rtol=0)


def test_latents_of_the_amplitude_model_are_on_as_often_as_its_prior_says() -> None:
    model = make_amplitude_vae(3, 5)
    model.vectors = torch.eye(3, 5, dtype=torch.float64)
    drawn = model.sample(100_000, seeded())
    on = (drawn[:, :3] != 0).double()
    torch.testing.assert_close(on.mean(0), model.prior_probs, atol=0.005, rtol=0)
    both = on.T @ on / len(on)
    expected = torch.outer(model.prior_probs, model.prior_probs)
    torch.testing.assert_close(both.triu(1), expected.triu(1), atol=0.005, rtol=0)


@pytest.mark.parametrize("free_mean", [False, True])
def test_samples_of_the_mlp_model_are_its_means_as_often_as_their_states(free_mean: bool) -> None:
    model = make_mlp_vae(3, 5, free_patch_mean=free_mean)
    states = all_states(3, 1)[0]
    means = model.mlp(states.double()).detach()
    means = means - means.mean(1, keepdim=True) * free_mean
    drawn = model.sample(50_000, seeded())
    distances = torch.cdist(drawn, means, compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.amin(1).max() < 1e-6
    frequencies = distances.argmin(1).bincount(minlength=8) / len(drawn)
    probs = model.prior_probs
    expected = torch.where(states, probs, 1 - probs).prod(1)
    torch.testing.assert_close(frequencies.double(), expected, atol=0.01, rtol=0)


@pytest.mark.usefixtures("small_vaes")
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("name", OTHER_VAES)
def test_samples_are_patches_in_the_units_of_the_image(name: str, colours: int) -> None:
    """Twice the image and twice the noise: twice the same samples, whose brightness is 0."""
    noisy = np.stack([NOISY, 200 - NOISY, NOISY / 2], -1)[..., :colours]
    priors = [prior_of(denoised(name, unit * noisy, unit * 20)) for unit in (1, 2)]
    first, second = (prior.sample(50, seed=3) for prior in priors)
    size = priors[0].patch_size
    assert first.patches.shape == (50, size * size * colours)
    torch.testing.assert_close(second.patches, 2 * first.patches)
    assert first.patches.mean(1).abs().max() < 1e-3
    assert 1 < first.patches.std() < 200
    assert torch.equal(priors[0].sample(50, seed=3).patches, first.patches)
    assert not torch.equal(priors[0].sample(50, seed=4).patches, first.patches)
    assert (first.groups is None) == (name in ("gumbel-vae", "nash-vae"))


@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])
def test_samples_of_our_own_are_in_the_units_of_the_image(options: DenoiseOptions) -> None:
    first, second = (
        denoise_image(unit * NOISY, unit * 20, options=options, device="cpu").models[0]
        for unit in (1, 2)
    )
    samples = first.sample(50, seed=3).patches
    assert samples.shape == (50, 16)
    torch.testing.assert_close(second.sample(50, seed=3).patches, 2 * samples)
    assert samples.mean(1).abs().max() < 1e-3
    assert samples.abs().max() > 1


@pytest.mark.parametrize("chunk", [7, 10_000])
def test_nearest_patches_are_those_of_brute_force(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "CHUNK_SIZE", chunk)
    image = torch.randn(9, 8, 2, generator=seeded(), dtype=torch.float64)
    image[4, 4, 0] = torch.nan
    wanted = torch.randn(40, 18, generator=seeded(1), dtype=torch.float64)
    wanted -= wanted.mean(1, keepdim=True)
    whole = [
        image[top : top + 3, left : left + 3].flatten() for top in range(7) for left in range(6)
    ]
    patches = torch.stack([one - one.mean() for one in whole if not one.isnan().any()])
    nearest = (wanted[:, None] - patches).square().sum(2).argmin(1)
    torch.testing.assert_close(nearest_patches(wanted, image, 3), patches[nearest])
    torch.testing.assert_close(nearest_patches(wanted, image + 1000, 3), patches[nearest])


def test_of_a_large_image_only_some_patches_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MOST_COMPARED", 20)
    # The patches are those of every third row and column, and the last ones; only (4, 3) is wanted.
    image = torch.zeros(10, 10, 1)
    image[4:6, 3:5, 0] = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    wanted = image[4:6, 3:5].flatten()[None]
    assert nearest_patches(wanted, image, 2).abs().max() < 1
    monkeypatch.undo()
    torch.testing.assert_close(nearest_patches(wanted, image, 2), wanted)


def test_the_largest_groups_have_rows_with_their_shares() -> None:
    groups = torch.tensor([2] * 20 + [0] * 30 + [5] * 50)[torch.randperm(100, generator=seeded())]
    rows = rows_of(Samples(torch.zeros(100, 4), groups))
    assert [row.label for row in rows] == ["50.0 %", "30.0 %", "20.0 %"]
    for row, group in zip(rows, (5, 0, 2), strict=True):
        expected = (groups == group).nonzero().flatten()[:SAMPLES_PER_ROW]
        assert torch.equal(row.numbers, expected)


def test_samples_without_groups_are_sorted_by_their_contrast() -> None:
    patches = torch.randn(300, 4, generator=seeded()) * torch.rand(300, 1, generator=seeded(1))
    rows = rows_of(Samples(patches, None))
    shown = torch.cat([row.numbers for row in rows])
    assert sorted(shown.tolist()) == list(range(128))
    assert (patches[shown].std(1).diff() <= 0).all()


def tile(picture: np.ndarray, left: int, size: int) -> Tensor:
    """The first tile of a sheet without labels, one pixel of the picture for each of its own."""
    rows = slice(CAPTION_HEIGHT + 1, CAPTION_HEIGHT + 3 * size, 3)
    return torch.from_numpy(picture[rows, left + 1 : left + 3 * size : 3, 0].astype(np.float64))


class Steps:
    """A prior of one patch of 4×4, of which no half looks like the other."""

    patch_size, channels = 4, 1

    def sample(self, count: int, *, seed: int) -> Samples:
        patch = 100 + torch.tensor([-60.0, -60.0, 60.0, 60.0])
        return Samples(patch.repeat(count, 4), None)


def drawn_steps(image: np.ndarray) -> tuple[Tensor, Tensor]:
    """The first sample in a picture of `Steps` and the patch beside it, from -1 to 1."""
    pixels = image.astype(np.float32)
    noise = GaussianNoise(1.0)
    picture = draw_models(DenoiseResult(pixels, noise, {}, "cpu", seed=0, prior=Steps()))
    second = picture.shape[1] - SAMPLES_PER_ROW * 15
    return tile(picture, 0, 4) / 127.5 - 1, tile(picture, second, 4) / 127.5 - 1


STEP = torch.tensor([-1.0, -1.0, 1.0, 1.0]).expand(4, 4).double()


def test_a_sample_lies_beside_its_nearest_patch_with_the_same_contrast() -> None:
    image = np.full((9, 9), 50.0)
    image[:, 5:] += 40
    sample, patch = drawn_steps(image)
    torch.testing.assert_close(sample, STEP, atol=0.01, rtol=0)
    # Its nearest patch is the step of 40, which is a third as high.
    torch.testing.assert_close(patch, STEP / 3, atol=0.01, rtol=0)


def test_of_a_large_image_the_middle_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SEARCHED_SIDE", 5)
    image = np.full((30, 31), 50.0)
    image[:, 4:] += 120  # like the samples, but at the border
    image[:, 15:] += 40
    assert drawn_steps(image)[1].abs().max() < 0.4


@pytest.mark.parametrize("options", [TINY, TINY_AMPLITUDE], ids=["mlp", "amplitude"])
@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_models_are_drawn_by_the_seed(options: DenoiseOptions, shape: tuple[int, ...]) -> None:
    noisy = np.random.default_rng(0).normal(100, 20, shape)
    result = denoise_image(noisy, 20, options=options, device="cpu")
    picture = draw_models(result)
    assert (picture.dtype, picture.ndim) == (np.uint8, 3)
    assert len(np.unique(picture)) > 10
    assert np.array_equal(picture, draw_models(result))
    other = draw_models(replace(result, seed=1))
    assert other.shape == picture.shape and not np.array_equal(other, picture)
    first = CAPTION_HEIGHT + 15  # what the latents add is not drawn at random
    assert np.array_equal(other[:first], picture[:first])


@pytest.mark.usefixtures("tiny_preset", "small_vaes")
@pytest.mark.parametrize("name", ["tvae", *OTHER_VAES])
def test_a_picture_changes_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("noisy.png"))
    arguments = ("noisy.png", "--sigma", "20", "--method", name, *SHORT)
    assert run_cli(*arguments, "-o", "plain.png")[0] == 0
    for number in (1, 2):
        more = ("-o", f"{number}.png", "--show-model", f"model{number}.png")
        assert run_cli(*arguments, *more)[0] == 0
        assert Path(f"{number}.png").read_bytes() == Path("plain.png").read_bytes()
    assert Path("model1.png").read_bytes() == Path("model2.png").read_bytes()
    assert len(np.unique(read_image(Path("model1.png")).pixels)) > 10
