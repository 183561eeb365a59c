"""Spectra of noise: exact inverses, unbiased estimates, robustness to texture."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve

from denoise.noise.spectrum import (
    LEAST_POWER,
    REACH,
    WINDOW,
    covariances,
    flat_energies,
    power,
    quantile_energies,
    window_energies,
)

BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


def smooth_noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Noise of variance 1 with the covariances of `binomial_covariances`."""
    white = np.random.default_rng(seed).standard_normal(shape)
    return convolve(white, BINOMIAL, mode="wrap") / np.sqrt(np.square(BINOMIAL).sum())


def binomial_covariances() -> np.ndarray:
    """Of white noise filtered by the binomial kernel, for offsets up to REACH."""
    line = np.convolve([1, 2, 1], [1, 2, 1])[2:] / 6  # of rows as of columns
    line = np.pad(line, (0, REACH - 2))
    return np.outer(line, line)


def expected_energies(covariance: np.ndarray) -> np.ndarray:
    """φᵀ C φ for each pair of cosines, by the definition of the covariance matrix of a window."""
    n = np.arange(WINDOW)
    basis = np.cos(np.pi / WINDOW * np.outer(n, n + 0.5)) * np.sqrt(2 / WINDOW)
    basis[0] /= np.sqrt(2)
    offsets = np.abs(n[:, None] - n)
    padded = np.pad(covariance, (0, WINDOW - len(covariance)))
    energies = np.empty((WINDOW, WINDOW))
    for u in range(WINDOW):
        for v in range(WINDOW):
            phi = np.outer(basis[u], basis[v])
            total = 0.0
            for a, b in np.ndindex(WINDOW, WINDOW):
                total += phi[a, b] * (phi * padded[offsets[a]][:, offsets[b]]).sum()
            energies[u, v] = total
    return energies


def test_covariances_are_found_again_from_exact_energies() -> None:
    covariance = binomial_covariances()
    np.testing.assert_allclose(covariances(expected_energies(covariance)), covariance, atol=1e-12)


def test_power_is_the_fourier_sum_of_covariances_and_bounded() -> None:
    covariance, shape = binomial_covariances(), (24, 20)
    found = power(covariance, shape)
    # The filter's own gain, (2 + 2 cos w)² a line, relative to its mean 6, twice.
    lines = [np.square(2 + 2 * np.cos(np.pi / size * np.arange(size))) / 6 for size in shape]
    np.testing.assert_allclose(found, np.maximum(np.outer(*lines), LEAST_POWER), rtol=1e-9)
    assert power(np.array([[4.0]]), shape) == pytest.approx(4.0)


@pytest.mark.parametrize("share", [0.03, 0.2, 0.4])
def test_energies_of_noise_alone_are_unbiased(share: float) -> None:
    noise = 3 * smooth_noise((260, 260), seed=1)
    energies = window_energies(noise)
    assert energies is not None
    expected = 9 * expected_energies(binomial_covariances())
    for found in (quantile_energies(energies, share), flat_energies(energies, share)):
        inside = np.indices(found.shape).sum(0) > 0
        ratio = found[inside].sum() / expected[inside].sum()
        assert ratio == pytest.approx(1, abs=0.12)


def test_flat_windows_are_found_beside_texture() -> None:
    noise = smooth_noise((256, 256), seed=2)
    rows, columns = np.mgrid[:256, :256]
    texture = 20 * np.sin(rows / 1.7) * np.cos(columns / 2.3) * (columns > 40)
    energies = window_energies(noise + texture)
    assert energies is not None
    found = flat_energies(energies, 0.04)
    expected = expected_energies(binomial_covariances())
    assert found[1:, 1:].sum() == pytest.approx(expected[1:, 1:].sum(), rel=0.25)
    # The mean over all windows is a hundred times as large.
    assert energies[:, 1:, 1:].mean(0).sum() > 100 * expected[1:, 1:].sum()


def test_windows_that_are_constant_or_not_complete_do_not_count() -> None:
    plane = np.random.default_rng(0).normal(size=(64, 64))
    everything = window_energies(plane)
    plane[:20] = 7.0
    plane[40, 40] = np.nan
    energies = window_energies(plane)
    assert everything is not None and energies is not None
    assert len(everything) == 57 * 57
    assert len(energies) == 57 * 57 - 13 * 57 - 64
    assert window_energies(np.full((64, 64), 3.0)) is None
    assert window_energies(np.full((64, 64), np.nan)) is None
