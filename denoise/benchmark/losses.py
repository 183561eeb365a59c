"""Where our default preset loses, in plain words, from the measured and published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from denoise.benchmark.published import PUBLISHED, published_mean
from denoise.benchmark.runner import Cell
from denoise.benchmark.tables import mean_quality
from denoise.presets import DEFAULT_PRESET


def where_we_lose(cells: Sequence[Cell], known: Mapping[str, str | None]) -> list[str]:
    """A paragraph for each noise level at which the default preset was measured.

    Parameters
    ----------
    known : images by name, and what they are called in a named set
    """
    lines = []
    for sigma in dict.fromkeys(cell.sigma for cell in cells):
        paragraph = _at_level([cell for cell in cells if cell.sigma == sigma], sigma, known)
        lines += [paragraph, ""] if paragraph else []
    return lines


def _at_level(cells: Sequence[Cell], sigma: float, known: Mapping[str, str | None]) -> str | None:
    measured = {
        method: mean_quality([cell for cell in cells if cell.method == method])
        for method in dict.fromkeys(cell.method for cell in cells)
    }
    ours = measured.pop(DEFAULT_PRESET, None)
    if ours is None:
        return None
    quality, seconds = ours
    better = [
        (f"{method} (measured)", found[0] - quality)
        for method, found in measured.items()
        if found is not None and found[0] > quality
    ]
    images = [name or "" for name in known.values()]
    for method in PUBLISHED:
        mean = published_mean(method, sigma, images)
        if mean is not None and mean > quality:
            better.append((f"{method} (published)", mean - quality))
    faster = [
        f"{method} {found[0]:.2f} dB in {found[1]:.1f} s"
        for method, found in measured.items()
        if found is not None and found[1] < seconds and method != "noisy"
    ]
    ahead = ", ".join(f"{name} by {gain:.2f} dB" for name, gain in better) or "none of these"
    return (
        f"At sigma {sigma:g} `{DEFAULT_PRESET}` has {quality:.2f} dB in {seconds:.1f} s. Better:"
        f" {ahead}. Faster: {', '.join(faster) or 'none of these'}."
    )
