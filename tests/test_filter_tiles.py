"""Tiles of compiled loops against numpy."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from denoise.kernels.tiles_numba import (
    LANES,
    add_product,
    add_transposed_product,
    eliminate,
    elimination,
    load_tile,
    store_tile,
    transposed,
    zero_tile,
)


@numba.njit
def every_operation(left, right, factors, out):  # type: ignore[no-untyped-def]
    """Each operation on tiles away from the corner of a matrix, one below the other."""
    tile = load_tile(out, 0, 1)
    store_tile(out, 0, 0, add_product(tile, left, 2, 3, right, 1, 2))
    store_tile(out, LANES, 0, add_transposed_product(zero_tile(out), left, 2, 3, right, 1, 2))
    store_tile(out, 2 * LANES, 0, transposed(load_tile(left, 1, 2)))
    store_tile(factors, 0, 0, elimination(load_tile(right, 0, 0)))
    store_tile(out, 3 * LANES, 0, eliminate(load_tile(left, 2, 3), factors))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_are_multiplied_transposed_and_inverted(dtype: type[np.floating]) -> None:
    generator = np.random.default_rng(0)
    left, right = generator.normal(size=(2, LANES + 3, LANES + 5)).astype(dtype)
    square = right[:LANES, :LANES]
    square[:] = square @ square.T + np.eye(LANES)
    out = generator.normal(size=(4 * LANES, LANES + 1)).astype(dtype)
    first = left[2 : 2 + LANES, 3 : 3 + LANES]
    second = right[1 : 1 + LANES, 2 : 2 + LANES]
    expected = [
        out[:LANES, 1:] + first @ second,
        first.T @ second,
        left[1 : 1 + LANES, 2 : 2 + LANES].T,
        np.linalg.solve(square.astype(np.float64), first),
    ]
    beside = out[:, LANES].copy()
    every_operation(left, right, np.empty((LANES, LANES), dtype), out)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(out[:, :LANES], np.concatenate(expected), atol=tolerance, rtol=1e-4)
    np.testing.assert_array_equal(out[:, LANES], beside)
