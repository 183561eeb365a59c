"""Axes of colour space: opponent colours, and where they lie in whitened channels."""

from __future__ import annotations

import numpy as np
import pytest

from denoise.noise.colours import opponent_axes, whitened_to_opponent


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_opponent_axes_are_a_rotation_with_brightness_first(channels: int) -> None:
    axes = opponent_axes(channels)
    np.testing.assert_allclose(axes @ axes.T, np.eye(channels), atol=1e-12)
    np.testing.assert_allclose(axes[0], channels**-0.5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_with_equal_noise_stay_what_they_were(channels: int) -> None:
    turn = whitened_to_opponent(np.eye(channels) / 7)
    np.testing.assert_allclose(turn, np.eye(channels), atol=1e-9)


def test_noise_along_opponent_axes_leaves_them_where_they_are() -> None:
    axes = opponent_axes(3)
    whitening = axes.T @ np.diag([1 / 5, 1 / 9, 1 / 11]) @ axes
    np.testing.assert_allclose(whitened_to_opponent(whitening), np.eye(3), atol=1e-9)


def test_turned_channels_have_uncorrelated_opponent_colours() -> None:
    whitening = np.linalg.inv(np.linalg.cholesky([[9.0, 5, 1], [5, 6, 0.5], [1, 0.5, 2]]))
    turn = whitened_to_opponent(whitening)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    axes = opponent_axes(3)
    pictures = axes.T @ np.diag([1.0, 0.02, 0.01]) @ axes
    turned = axes @ turn @ whitening
    covariance = turned @ pictures @ turned.T
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)
    assert np.all(np.diff(np.diag(covariance)) < 0)
