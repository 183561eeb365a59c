"""Compiled loops over patches for the amplitude model on a CPU; `compiled.py` calls them.

The arithmetic per patch is small linear algebra that stays in the innermost
cache, which batched tensor calls cannot exploit. Every function here has a
plain-torch twin in `amplitudes.py` or `neighbourhood.py` that gives the same
numbers, explains them, and runs on any device.

Units: the noise variance is 1 (amplitude vectors and patches come divided by
sigma). A state is a list of the `count` latents that are on; at rest, eight
booleans make an unsigned word (little-endian machines only). `gram` is W W^T,
`projections` are W x, `log_odds` the logit of pi.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

ABSENT = np.float32(-1e30)
# States that carry less of the posterior do not enter the sums of the M-step.
LEAST_WEIGHT = np.float32(1e-3)

compile_loop: Any = numba.njit(cache=True, fastmath=True, nogil=True)


@compile_loop
def _solve(latents, count, gram, projections, inverse, means):  # type: ignore[no-untyped-def]
    """Posterior of the amplitudes: `inverse` = M^-1, `means` = M^-1 c; returns the log evidence.

    M = I + G_zz is positive definite, so Gauss-Jordan needs no pivoting.
    """
    for i in range(count):
        for j in range(count):
            inverse[i, j] = gram[latents[i], latents[j]]
        inverse[i, i] += 1.0
    log_determinant = 0.0
    for p in range(count):
        pivot = inverse[p, p]
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
def _active(words, latents):  # type: ignore[no-untyped-def]
    """List the latents that are on in a state, eight booleans to a word; returns their number."""
    count = 0
    for block in range(len(words)):
        word = words[block]
        if word != 0:
            for bit in range(8):
                if (word >> np.uint64(8 * bit)) & np.uint64(1):
                    latents[count] = 8 * block + bit
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
def _insert(lists, counts, scores, hashes, expanded, new, count, score, code):  # type: ignore[no-untyped-def]
    """Put a state into the set, sorted by falling score, unless it is there or too unlikely."""
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
def explore(  # type: ignore[no-untyped-def]
    projections, gram, log_odds, keys, states, scores, max_active, expansions, children
):
    """Score `states` (N, S, words) and search on from them; both outputs in place.

    `scores` (N, S) is the log joint without what all states share; where it
    comes as ABSENT, the place is empty.
    """
    patches, size = scores.shape
    number = len(log_odds)
    lists = np.empty((size, max_active), np.int16)
    counts = np.empty(size, np.int64)
    values = np.empty(size, np.float32)
    hashes = np.empty(size, np.int64)
    expanded = np.empty(size, np.bool_)
    inverse = np.empty((max_active, max_active), np.float32)
    means = np.empty(max_active, np.float32)
    parent = np.empty(max_active, np.int16)
    child = np.empty(max_active, np.int16)
    rho = np.empty(number, np.float32)
    gains = np.empty(number, np.float32)
    removals = np.empty(max_active, np.float32)
    candidates = np.empty(number, np.int16)
    for n in range(patches):
        own = projections[n]
        values[:] = ABSENT
        for s in range(size):
            if scores[n, s] <= ABSENT:
                continue
            count = _active(states[n, s], child)
            code = np.int64(0)
            score = np.float32(0.0)
            for i in range(count):
                code ^= keys[child[i]]
                score += log_odds[child[i]]
            score += _solve(child, count, gram, own, inverse, means)
            _insert(lists, counts, values, hashes, expanded, child, count, score, code)
        for _ in range(expansions):
            best = 0
            while best < size and (expanded[best] or values[best] <= ABSENT):
                if values[best] <= ABSENT:
                    best = size
                else:
                    best += 1
            if best >= size:
                break
            expanded[best] = True
            count = counts[best]
            score = values[best]
            code = hashes[best]
            parent[:count] = lists[best, :count]
            _solve(parent, count, gram, own, inverse, means)
            needed = values[size - 1] - score
            found = 0
            if count < max_active:
                found = _additions(
                    parent, count, gram, own, log_odds, inverse, means, rho, gains,
                    needed, candidates,
                )  # fmt: skip
            for i in range(count):
                v = inverse[i, i]
                removals[i] = -(
                    0.5 * means[i] * means[i] / v + 0.5 * math.log(v) + log_odds[parent[i]]
                )
            for _ in range(children):
                gain = ABSENT
                top = -1
                for c in range(found):
                    if gains[candidates[c]] > gain:
                        top = candidates[c]
                        gain = gains[top]
                removed = -1
                for i in range(count):
                    if removals[i] > gain:
                        gain = removals[i]
                        removed = i
                if gain <= ABSENT or score + gain <= values[size - 1]:
                    break
                if removed < 0:
                    gains[top] = ABSENT
                    child[:count] = parent[:count]
                    child[count] = top
                    _insert(
                        lists, counts, values, hashes, expanded,
                        child, count + 1, score + gain, code ^ keys[top],
                    )  # fmt: skip
                else:
                    removals[removed] = ABSENT
                    kept = 0
                    for i in range(count):
                        if i != removed:
                            child[kept] = parent[i]
                            kept += 1
                    _insert(
                        lists, counts, values, hashes, expanded,
                        child, kept, score + gain, code ^ keys[parent[removed]],
                    )  # fmt: skip
        for s in range(size):
            scores[n, s] = values[s]
            states[n, s, :] = 0
            if values[s] > ABSENT:
                for i in range(counts[s]):
                    h = lists[s, i]
                    states[n, s, h >> 3] |= np.uint64(1) << np.uint64(8 * (h & 7))


@compile_loop
def accumulate(  # type: ignore[no-untyped-def]
    projections, gram, states, weights, max_active, latents, products, amplitudes
):
    """Add <z> to `latents` (H,), <a a^T> to `products` (H, H), <a> to `amplitudes` (N, H)."""
    patches, size = weights.shape
    inverse = np.empty((max_active, max_active), np.float32)
    means = np.empty(max_active, np.float32)
    active = np.empty(max_active, np.int16)
    for n in range(patches):
        for s in range(size):
            weight = weights[n, s]
            if weight < LEAST_WEIGHT:
                continue
            count = _active(states[n, s], active)
            _solve(active, count, gram, projections[n], inverse, means)
            for i in range(count):
                h = active[i]
                latents[h] += weight
                amplitudes[n, h] += weight * means[i]
                for j in range(count):
                    products[h, active[j]] += weight * (inverse[i, j] + means[i] * means[j])
