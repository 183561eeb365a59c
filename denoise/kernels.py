"""Compiled loops over patches for the amplitude model on a CPU; `compiled.py` calls them.

The arithmetic per patch is small linear algebra that stays in the innermost
cache, which batched tensor calls cannot exploit. Every function here has a
plain-torch twin in `amplitudes.py` or `neighbourhood.py` that gives the same
numbers, explains them, and runs on any device.

Units: the noise variance is 1 (amplitude vectors and patches come divided by
sigma). A state is a list of the `count` latents that are on; at rest it is filled
up with the number of latents. `gram` is W W^T, `projections` are W x, `log_odds`
the logit of pi.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ABSENT = np.float32(-1e30)
# States that are less likely than the likeliest by this factor do not enter the posterior sums.
LEAST_WEIGHT = np.float32(1e-3)


def compile_loop(function: Callable[..., Any]) -> Any:
    """Compile at the first call; machine code is kept for later runs where a folder allows it."""
    try:
        return numba.njit(cache=True, fastmath=True, nogil=True)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        return numba.njit(fastmath=True, nogil=True)(function)


@compile_loop
def _solve(latents, count, gram, projections, inverse, means):  # type: ignore[no-untyped-def]
    """Posterior of the amplitudes: `inverse` = M^-1, `means` = M^-1 c; returns the log evidence.

    M = I + G_zz is positive definite, so Gauss-Jordan needs no pivoting: but for rounding, no
    pivot is below 1.
    """
    for i in range(count):
        for j in range(count):
            inverse[i, j] = gram[latents[i], latents[j]]
        inverse[i, i] += 1.0
    log_determinant = 0.0
    for p in range(count):
        pivot = max(inverse[p, p], np.float32(1.0))
        log_determinant += math.log(pivot)
        inverse[p, p] = 1.0
        for j in range(count):
            inverse[p, j] /= pivot
        for i in range(count):
            if i != p:
                factor = inverse[i, p]
                inverse[i, p] = 0.0
                for j in range(count):
                    inverse[i, j] -= factor * inverse[p, j]
    fit = 0.0
    for i in range(count):
        mean = 0.0
        for j in range(count):
            mean += inverse[i, j] * projections[latents[j]]
        means[i] = mean
        fit += mean * projections[latents[i]]
    return 0.5 * fit - 0.5 * log_determinant


@compile_loop
def _count(active, number):  # type: ignore[no-untyped-def]
    """How many latents are on in a state."""
    count = 0
    while count < len(active) and active[count] < number:
        count += 1
    return count


@compile_loop
def _additions(  # type: ignore[no-untyped-def]
    latents, count, gram, projections, log_odds, inverse, means, rho, gains, needed, candidates
):
    """Gain in log joint from switching each latent on, by the Schur complement.

    Lists those that gain more than `needed` in `candidates`; returns their number.
    """
    number = len(log_odds)
    for j in range(number):
        gains[j] = 1.0 + gram[j, j]
        rho[j] = projections[j]
    for i in range(count):
        row, mean = gram[latents[i]], means[i]
        for j in range(number):
            rho[j] -= mean * row[j]
        for other in range(i + 1):
            second = gram[latents[other]]
            weight = inverse[i, other] * (1.0 if other == i else 2.0)
            for j in range(number):
                gains[j] -= weight * row[j] * second[j]
    for j in range(number):
        gains[j] = max(gains[j], np.float32(1.0))
        rho[j] = np.float32(0.5) * rho[j] * rho[j] / gains[j] + log_odds[j]
    for i in range(count):
        rho[latents[i]] = ABSENT
    found = 0
    for j in range(number):
        if rho[j] > needed:
            # The logarithm is never negative: most latents are ruled out without it.
            gains[j] = rho[j] - np.float32(0.5) * np.float32(math.log(gains[j]))
            candidates[found] = j
            found += 1
    return found


@compile_loop
def _insert(places, new, count, score, code):  # type: ignore[no-untyped-def]
    """Put a state into the set, sorted by falling score, unless it is there or too unlikely."""
    lists, counts, scores, hashes, expanded = places
    size = len(scores)
    if score <= scores[size - 1]:
        return
    for s in range(size):
        if hashes[s] == code and scores[s] > ABSENT:
            return
    s = size - 1
    while s > 0 and scores[s - 1] < score:
        lists[s, :] = lists[s - 1]
        counts[s] = counts[s - 1]
        scores[s] = scores[s - 1]
        hashes[s] = hashes[s - 1]
        expanded[s] = expanded[s - 1]
        s -= 1
    lists[s, :count] = new[:count]
    counts[s] = count
    scores[s] = score
    hashes[s] = code
    expanded[s] = False


@compile_loop
def _load(places, active, old_scores, gram, own, log_odds, keys, work):  # type: ignore[no-untyped-def]
    """Score the states of a patch and sort them into the empty set."""
    _, _, inverse, means, _, _, _, _ = work
    places[2][:] = ABSENT
    for s in range(len(old_scores)):
        if old_scores[s] <= ABSENT:
            continue
        state = active[s]
        count = _count(state, len(log_odds))
        code = np.int64(0)
        score = _solve(state, count, gram, own, inverse, means)
        for i in range(count):
            code ^= keys[state[i]]
            score += log_odds[state[i]]
        _insert(places, state, count, score, code)


@compile_loop
def _expand(places, place, children, gram, own, log_odds, keys, work):  # type: ignore[no-untyped-def]
    """Offer the best single-bit neighbours of the state at `place` to the set."""
    lists, counts, scores, hashes, expanded = places
    child, parent, inverse, means, rho, gains, removals, candidates = work
    expanded[place] = True
    count, score, code = counts[place], scores[place], hashes[place]
    parent[:count] = lists[place, :count]
    _solve(parent, count, gram, own, inverse, means)
    needed = scores[len(scores) - 1] - score
    found = 0
    if count < len(parent):
        found = _additions(
            parent, count, gram, own, log_odds, inverse, means, rho, gains, needed, candidates
        )
    for i in range(count):
        v = inverse[i, i]
        removals[i] = -(0.5 * means[i] * means[i] / v + 0.5 * math.log(v) + log_odds[parent[i]])
    for _ in range(children):
        gain, added, removed = ABSENT, -1, -1
        for c in range(found):
            if gains[candidates[c]] > gain:
                added = candidates[c]
                gain = gains[added]
        for i in range(count):
            if removals[i] > gain:
                removed = i
                gain = removals[i]
        if gain <= ABSENT or score + gain <= scores[len(scores) - 1]:
            break
        if removed < 0:
            gains[added] = ABSENT
            child[:count] = parent[:count]
            child[count] = added
            _insert(places, child, count + 1, score + gain, code ^ keys[added])
        else:
            removals[removed] = ABSENT
            child[:removed] = parent[:removed]
            child[removed : count - 1] = parent[removed + 1 : count]
            _insert(places, child, count - 1, score + gain, code ^ keys[parent[removed]])


@compile_loop
def _store(places, active, new_scores, number):  # type: ignore[no-untyped-def]
    """Write the set back."""
    lists, counts, scores, _, _ = places
    for s in range(len(scores)):
        new_scores[s] = scores[s]
        active[s, :] = number
        if scores[s] > ABSENT:
            active[s, : counts[s]] = lists[s, : counts[s]]


@compile_loop
def explore(  # type: ignore[no-untyped-def]
    projections, gram, log_odds, keys, active, scores, expansions, children
):
    """Score the states `active` (N, S, K) and search on from them; both outputs in place.

    `scores` (N, S) is the log joint without what all states share; where it
    comes as ABSENT, the place is empty.
    """
    patches, size, max_active = active.shape
    number = len(log_odds)
    places = (
        np.empty((size, max_active), np.int16),
        np.empty(size, np.int64),
        np.empty(size, np.float32),
        np.empty(size, np.int64),
        np.empty(size, np.bool_),
    )
    work = (
        np.empty(max_active, np.int16),
        np.empty(max_active, np.int16),
        np.empty((max_active, max_active), np.float32),
        np.empty(max_active, np.float32),
        np.empty(number, np.float32),
        np.empty(number, np.float32),
        np.empty(max_active, np.float32),
        np.empty(number, np.int16),
    )
    for n in range(patches):
        own = projections[n]
        _load(places, active[n], scores[n], gram, own, log_odds, keys, work)
        for _ in range(expansions):
            place = 0
            while place < size and places[4][place] and places[2][place] > ABSENT:
                place += 1
            if place == size or places[2][place] <= ABSENT:
                break
            _expand(places, place, children, gram, own, log_odds, keys, work)
        _store(places, active[n], scores[n], number)


@compile_loop
def accumulate(  # type: ignore[no-untyped-def]
    projections, gram, active, weights, latents, products, amplitudes
):
    """Add <z> to `latents` (H,), <a a^T> to `products` (H, H), <a> to `amplitudes` (N, H)."""
    patches, size, max_active = active.shape
    inverse = np.empty((max_active, max_active), np.float32)
    means = np.empty(max_active, np.float32)
    for n in range(patches):
        largest = weights[n].max()
        kept = np.float32(0.0)
        for s in range(size):
            if weights[n, s] >= LEAST_WEIGHT * largest:
                kept += weights[n, s]
        for s in range(size):
            weight = weights[n, s] / kept
            if weights[n, s] < LEAST_WEIGHT * largest:
                continue
            state = active[n, s]
            count = _count(state, len(latents))
            _solve(state, count, gram, projections[n], inverse, means)
            for i in range(count):
                h = state[i]
                latents[h] += weight
                amplitudes[n, h] += weight * means[i]
                for j in range(count):
                    products[h, state[j]] += weight * (inverse[i, j] + means[i] * means[j])
