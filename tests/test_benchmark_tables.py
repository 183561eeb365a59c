"""Tables of the benchmark: where we lose, and published values."""

from __future__ import annotations

import pytest

from denoise.benchmark.protocol import Damage
from denoise.benchmark.published import PUBLISHED, published_mean
from denoise.benchmark.runner import Cell
from denoise.benchmark.tables import means, where_we_lose


def test_losses_are_told_in_plain_words() -> None:
    def cell(method: str, quality: float, seconds: float) -> Cell:
        return Cell("x.png", method, "classic", 25.0, 0, psnr=quality, seconds=seconds)

    cells = [
        cell("noisy", 20, 0),
        cell("tv", 27, 0.2),
        cell("balanced", 32.9, 20),
        cell("x", 33, 30),
    ]
    assert where_we_lose(cells, {"x.png": "set12/02.png"}) == [
        "At sigma 25 `balanced` has 32.90 dB in 20.0 s. Better: x (measured) by 0.10 dB, WNNM"
        " (published) by 0.32 dB, DnCNN-S (trained on other images) (published) by 0.16 dB."
        " Faster: tv 27.00 dB in 0.2 s.",
        "",
    ]
    (line, _) = where_we_lose(cells[2:3], {"x.png": None})
    assert line.endswith("Better: none of these. Faster: none of these.")
    assert where_we_lose(cells[:2], {"x.png": None}) == []


def test_published_values_stand_beside_measured_ones_of_the_same_images() -> None:
    cells = [Cell("x.png", "noisy", "classic", 25.0, 0, psnr=20.0, seconds=0.1)]
    table = means(cells, {"x.png": "set12/02.png"})
    assert "| *BM3D, published* | 32.85 | | | |" in table
    assert "published" not in means(cells, {"x.png": None})
    assert (
        published_mean("ZS-NCD (one image)", Damage(25), ["set12/02.png", "set12/08.png"]) is None
    )
    # The means over all twelve, as printed by ADNet's authors.
    twelve = [f"set12/{number:02}.png" for number in range(1, 13)]
    for method, mean in (("BM3D", 29.97), ("WNNM", 30.26), ("DnCNN-S", 30.43)):
        (name,) = (one for one in PUBLISHED if one.startswith(method))
        assert published_mean(name, Damage(25), twelve) == pytest.approx(mean, abs=0.02)
