"""Compiled loops over patches for the amplitude model on a CPU; `amplitude.py` calls them.

The arithmetic per patch is small linear algebra that stays in the innermost
cache, which batched tensor calls cannot exploit.

A state is a list of the `count` latents that are on; at rest it is filled up with
the number of latents.
"""

from __future__ import annotations

import math

import numpy as np

from denoise.kernels.gram_numba import count_active, fill_rows, is_complete, look_at, solve
from denoise.kernels.machine_code import compile_loop, part_of_loop

ABSENT = np.float32(-1e30)


@part_of_loop
def _evidence(latents, count, gram, projections, matrix, right):
    """Log evidence 1/2 c^T M^-1 c - 1/2 log det M; `matrix` and `right` are work space.

    M = I + G_zz is positive definite, so elimination needs no pivoting: but for rounding, no
    pivot is below 1.
    """
    for i in range(count):
        right[i] = projections[latents[i]]
        for j in range(i):
            matrix[i, j] = gram[latents[i], latents[j]]
        matrix[i, i] = np.float32(1.0) + gram[latents[i], latents[i]]
    determinant, fit = 1.0, np.float32(0.0)
    for p in range(count):
        pivot = max(matrix[p, p], np.float32(1.0))
        determinant *= pivot
        fit += right[p] * right[p] / pivot
        for i in range(p + 1, count):
            factor = matrix[i, p] / pivot
            right[i] -= factor * right[p]
            for j in range(p + 1, i + 1):
                matrix[i, j] -= factor * matrix[j, p]
    return np.float32(0.5) * fit - np.float32(0.5 * math.log(determinant))


@part_of_loop
def _rank(best, found, gain, flip):
    """Put a flip among the best ones, sorted by falling gain; returns their number."""
    gains, flips = best
    place = found
    if found == len(gains):
        if gain <= gains[found - 1]:
            return found
        place -= 1
    else:
        found += 1
    while place > 0 and gains[place - 1] < gain:
        gains[place], flips[place] = gains[place - 1], flips[place - 1]
        place -= 1
    gains[place], flips[place] = gain, flip
    return found


@part_of_loop
def _rank_additions(
    latents, count, gram, lengths, projections, log_odds, solution, work, needed, best
):
    """Rank the flips that switch a latent on and gain more than `needed`; returns their number.

    The gain in log joint follows from the Schur complement; flip j is latent j.
    """
    inverse, means = solution
    rho, v = work
    number = len(log_odds)
    for j in range(number):
        v[j] = lengths[j]
        rho[j] = projections[j]
    for i in range(count):
        row, mean = gram[latents[i]], means[i]
        for j in range(number):
            rho[j] -= mean * row[j]
        for other in range(i + 1):
            second = gram[latents[other]]
            weight = inverse[i, other] * np.float32(1.0 if other == i else 2.0)
            for j in range(number):
                v[j] -= weight * row[j] * second[j]
    for j in range(number):
        v[j] = max(v[j], np.float32(1.0))
        rho[j] = np.float32(0.5) * rho[j] * rho[j] / v[j] + log_odds[j]
    for i in range(count):
        rho[latents[i]] = ABSENT
    found = 0
    for j in range(number):
        if rho[j] > needed:
            # The logarithm is never negative: most latents are ruled out without it.
            gain = rho[j] - np.float32(0.5) * np.float32(math.log(v[j]))
            if gain > needed:
                found = _rank(best, found, gain, j)
                if found == len(best[0]):
                    needed = max(needed, best[0][found - 1])
    return found


@part_of_loop
def _insert(places, new, count, score, code):
    """Put a state into the set, unless it is there or too unlikely.

    Scores fall from rank to rank; what else is known of a state stays in its slot, and `order`
    holds the slots of the ranks.
    """
    scores, order, lists, counts, hashes, expanded = places
    size = len(scores)
    if score <= scores[size - 1]:
        return
    for s in range(size):
        if hashes[s] == code and counts[s] >= 0:
            return
    slot, rank = order[size - 1], size - 1
    while rank > 0 and scores[rank - 1] < score:
        scores[rank] = scores[rank - 1]
        order[rank] = order[rank - 1]
        rank -= 1
    scores[rank] = score
    order[rank] = slot
    for i in range(count):
        lists[slot, i] = new[i]
    counts[slot] = count
    hashes[slot] = code
    expanded[slot] = False


@part_of_loop
def _load(places, active, old_scores, gram, own, log_odds, keys, work):
    """Score the states of a patch and sort them into the empty set."""
    inverse, means = work[2]
    scores, order, _, counts, _, _ = places
    for s in range(len(scores)):
        scores[s], order[s], counts[s] = ABSENT, s, -1
    for s in range(len(old_scores)):
        if old_scores[s] <= ABSENT:
            continue
        state = active[s]
        count = count_active(state, len(log_odds))
        code = np.int64(0)
        score = _evidence(state, count, gram, own, inverse, means)
        for i in range(count):
            code ^= keys[state[i]]
            score += log_odds[state[i]]
        _insert(places, state, count, score, code)


@part_of_loop
def _expand(places, rank, gram, lengths, own, log_odds, keys, work):
    """Offer the best single-bit neighbours of the state at `rank` to the set."""
    scores, order, lists, counts, hashes, expanded = places
    child, parent, solution, rho_and_v, best = work
    inverse, means = solution
    slot = order[rank]
    expanded[slot] = True
    count, score, code = counts[slot], scores[rank], hashes[slot]
    for i in range(count):
        parent[i] = lists[slot, i]
    solve(parent, count, gram, own, inverse, means)
    needed = scores[len(scores) - 1] - score
    found = 0
    if count < len(parent):
        found = _rank_additions(
            parent, count, gram, lengths, own, log_odds, solution, rho_and_v, needed, best
        )
    for i in range(count):
        v = inverse[i, i]
        loss = 0.5 * means[i] * means[i] / v + 0.5 * math.log(v) + log_odds[parent[i]]
        found = _rank(best, found, np.float32(-loss), -1 - i)
    for c in range(found):
        gain, flip = best[0][c], best[1][c]
        size = 0
        for i in range(count):
            if i != -1 - flip:
                child[size] = parent[i]
                size += 1
        if flip >= 0:
            child[size] = flip
            size += 1
        changed = flip if flip >= 0 else np.int64(parent[-1 - flip])
        _insert(places, child, size, score + gain, code ^ keys[changed])


@part_of_loop
def _store(places, active, new_scores, number):
    """Write the set back."""
    scores, order, lists, counts, _, _ = places
    for rank in range(len(scores)):
        new_scores[rank] = scores[rank]
        active[rank, :] = number
        slot = order[rank]
        for i in range(counts[slot]):
            active[rank, i] = lists[slot, i]


@compile_loop
def explore(
    projections,
    gram,
    observed,
    vectors,
    free_mean,
    log_odds,
    keys,
    active,
    scores,
    expansions,
    children,
    reach,
):
    """Score the states `active` (N, S, K) and search on from them; both outputs in place.

    Parameters
    ----------
    gram : (H, H), of patches without missing values
    observed : (N, D) float32, 1 where a patch has a value and 0 elsewhere; (0, D) if all have all
    vectors : (D, H), W transposed, in units of sigma
    free_mean : whether brightness is fitted
    scores : (N, S), the log joint without what all states share; where it comes as ABSENT, the
        place is empty
    """
    patches, size, max_active = active.shape
    number = len(log_odds)
    places = (
        np.empty(size, np.float32),
        np.empty(size, np.int64),
        np.empty((size, max_active), np.int16),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.bool_),
    )
    work = (
        np.empty(max_active, np.int16),
        np.empty(max_active, np.int16),
        (np.empty((max_active, max_active), np.float32), np.empty(max_active, np.float32)),
        (np.empty(number, np.float32), np.empty(number, np.float32)),
        (np.empty(children, np.float32), np.empty(children, np.int64)),
    )
    shared_lengths = np.empty(number, np.float32)
    for h in range(number):
        shared_lengths[h] = np.float32(1.0) + gram[h, h]
    own_gram = np.empty((number if len(observed) > 0 else 0, number), np.float32)
    own_lengths, sums = np.empty(number, np.float32), np.empty(number, np.float32)
    known = np.empty(number, np.bool_)
    for n in range(patches):
        own = projections[n]
        complete = is_complete(observed, n)
        used, lengths = (gram, shared_lengths) if complete else (own_gram, own_lengths)
        if not complete:
            look_at(observed[n], vectors, free_mean, sums, own_lengths, known)
            for s in range(size):
                count = count_active(active[n, s], number)
                fill_rows(active[n, s], count, observed[n], vectors, sums, known, own_gram)
        _load(places, active[n], scores[n], used, own, log_odds, keys, work)
        for _ in range(expansions):
            rank = 0
            while rank < size and places[0][rank] > ABSENT and places[5][places[1][rank]]:
                rank += 1
            if rank == size or places[0][rank] <= max(ABSENT, places[0][0] - reach):
                break
            if not complete:
                slot = places[1][rank]
                count = places[3][slot]
                fill_rows(places[2][slot], count, observed[n], vectors, sums, known, own_gram)
            _expand(places, rank, used, lengths, own, log_odds, keys, work)
        _store(places, active[n], scores[n], number)
