"""Frames of a series that help each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import step_image
from torch import Tensor

from denoise.kernels.choice import use
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import RefinementOptions
from denoise.refinement.blocks import MARGIN, WINDOW, find_blocks
from denoise.refinement.frames import Frame, fuse, neighbourhoods, refine_frames
from denoise.refinement.refine import refine_image

SMALL = RefinementOptions(patch_sizes=(4,), window=6, group_size=16, noise_kept=(0.4, 0.0))


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Noise (1, height, width), which looks alike nowhere."""
    return torch.randn(1, height, width, generator=torch.Generator().manual_seed(seed))


def series(scenes: list[np.ndarray], sigma: float = 20.0) -> list[Frame]:
    """Scenes (height, width) with noise, and poor pilots, in units of the noise."""
    frames = []
    for seed, clean in enumerate(scenes):
        noisy = add_gaussian_noise(clean, sigma, generator=np.random.default_rng(seed))
        pilot = clean + (noisy - clean) / 3
        frames.append(Frame(*(torch.tensor(one / sigma)[..., None] for one in (noisy, pilot))))
    return frames


def alone(frame: Frame) -> Tensor:
    return refine_image(*frame, SMALL, on_pass=lambda done: None)


def test_blocks_are_found_by_brute_force() -> None:
    """Frames of nothing but noise; the search in the last one begins where the second one ended."""
    frames = [texture(23, 20, seed)[0].numpy() for seed in range(3)]
    size, columns = 5, 16
    found = find_blocks([torch.tensor(frame)[None] for frame in frames], 0, size).numpy()
    corners = [(r, c) for r in (0, 5, 10, 15, 18) for c in (0, 5, 10, 15)]
    assert found[0].tolist() == [r * columns + c for r, c in corners]
    centre = (0, 0)
    for frame, numbers in zip(frames[1:], found[1:], strict=True):
        for (r, c), number in zip(corners, numbers, strict=True):
            block = frames[0][r : r + size, c : c + size]
            distances = {}
            for y in range(19):
                for x in range(columns):
                    move = (y - r - centre[0], x - c - centre[1])
                    if max(map(abs, move)) <= WINDOW:
                        other = frame[y : y + size, x : x + size]
                        bonus = MARGIN * size**2 * (move == (0, 0))
                        distances[y, x] = float(((block - other) ** 2).sum()) - bonus
            assert divmod(int(number), columns) == min(distances, key=lambda at: distances[at])
        rows, others = np.divmod(numbers, columns)
        moves = (rows - [r for r, _ in corners], others - [c for _, c in corners])
        # The lower one of two middle values.
        centre = tuple(int(np.sort(move)[(len(move) - 1) // 2]) for move in moves)


def test_a_scene_is_followed_beyond_the_window() -> None:
    step = (6, -5)
    scene = texture(90, 90)
    frames = [
        scene[:, 30 + n * step[0] : 70 + n * step[0], 30 + n * step[1] : 70 + n * step[1]]
        for n in range(-2, 3)
    ]
    found = find_blocks(frames, 2, 8)
    for n, numbers in zip(range(-2, 3), found, strict=True):
        row, column = (own - n * part for own, part in zip((16, 16), step, strict=True))
        middle = int((found[2] == 16 * 33 + 16).nonzero())
        assert int(numbers[middle]) == row * 33 + column


def test_the_mean_of_equal_frames_is_that_frame_with_less_noise() -> None:
    frame = Frame(*(texture(40, 36).movedim(0, 2).expand(-1, -1, 3),) * 2)
    fused = fuse([frame] * 4, 1)
    assert fused is not None
    torch.testing.assert_close(fused.noisy, frame.noisy)
    torch.testing.assert_close(fused.estimate, frame.estimate)
    torch.testing.assert_close(fused.variance, torch.full((40, 36), 0.25))


def test_what_changes_between_frames_is_not_averaged() -> None:
    """A square that only one frame has stays as it is, and has all its noise."""
    still = 20 * texture(64, 64).movedim(0, 2)
    changed = still.clone()
    changed[16:40, 16:40] += 20 * texture(24, 24, seed=1).movedim(0, 2)
    fused = fuse([Frame(one, one) for one in (still, changed, still)], 1)
    assert fused is not None
    torch.testing.assert_close(fused.noisy[24:32, 24:32], changed[24:32, 24:32], rtol=0, atol=0.1)
    assert float(fused.variance[24:32, 24:32].min()) > 0.98
    torch.testing.assert_close(fused.variance[56:, 56:], torch.full((8, 8), 1 / 3))


@pytest.mark.parametrize("missing", [False, True])
def test_frames_of_a_still_scene_help_each_other(missing: bool) -> None:
    clean = step_image(40, 36)
    frames = series([clean] * 3)
    if missing:
        gaps = torch.rand(40, 36, 1, generator=torch.Generator().manual_seed(0)) < 0.1
        frames = [Frame(noisy.masked_fill(gaps, torch.nan), pilot) for noisy, pilot in frames]
    refined = list(refine_frames(frames, 1, SMALL))
    assert len(refined) == 3
    for frame, result in zip(frames, refined, strict=True):
        before, after = (psnr(clean, 20 * one[..., 0].numpy()) for one in (alone(frame), result))
        assert after > before + 1


@pytest.mark.parametrize("radius", [0, 2])
def test_a_frame_that_is_like_no_other_is_refined_by_itself(radius: int) -> None:
    scenes = [255 * texture(40, 36, seed)[0].double().numpy() for seed in range(2)]
    frames = series([scenes[0], scenes[1], scenes[0]][: radius + 1])
    refined = list(refine_frames(frames, radius, SMALL))
    assert torch.equal(refined[radius // 2], alone(frames[radius // 2]))
    if radius:
        assert not torch.equal(refined[0], alone(frames[0]))  # the last one helps


def test_neither_threads_nor_implementations_matter() -> None:
    frames = series([step_image(40, 36)] * 2)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(next(refine_frames(frames, 1, SMALL)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
    with use("plain"):
        plain = next(refine_frames(frames, 1, SMALL))
    torch.testing.assert_close(results[0], plain, rtol=0, atol=1e-3)


def test_no_more_frames_are_taken_than_are_needed() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    near = neighbourhoods(numbers(), 1)
    assert next(near) == ([0, 1], 0)
    assert taken == [0, 1]
    assert list(near) == [([0, 1, 2], 1), ([1, 2, 3], 1), ([2, 3, 4], 1), ([3, 4], 1)]
    assert list(neighbourhoods([7], 2)) == [([7], 0)]
    assert list(neighbourhoods([7, 8], 0)) == [([7], 0), ([8], 0)]


def test_images_lower_than_a_step_between_blocks_are_covered() -> None:
    scene = np.linspace(50, 200, 7 * 40).reshape(7, 40)
    frames = series([scene] * 3)
    for image in refine_frames(frames, 1, SMALL):
        assert image.isfinite().all()
        assert image.shape == (7, 40, 1)
