"""Where values lie in a plot, and what its axes say."""

from __future__ import annotations

import pytest

from denoise.pictures.plot import Plot, round_ticks


def test_the_corners_of_a_plot_are_its_limits() -> None:
    plot = Plot(10, 20, 110, 70, (-1.0, 1.0), (0.0, 5.0))
    assert plot.place(-1, 0) == (10, 70)
    assert plot.place(1, 5) == (110, 20)
    assert plot.place(0, 2) == (60, 50)


@pytest.mark.parametrize(
    ("lowest", "highest", "labels"),
    [
        (0.0, 255.0, "0 50 100 150 200 250"),
        (0.0, 0.013, "0 0.005 0.01"),
        (-3.1, 2.9, "-3 -2 -1 0 1 2"),
        (1e6, 5e6, "1e+06 2e+06 3e+06 4e+06 5e+06"),
    ],
)
def test_ticks_are_round_and_few(lowest: float, highest: float, labels: str) -> None:
    ticks = round_ticks(lowest, highest)
    assert " ".join(ticks.values()) == labels
    assert all(float(label) == pytest.approx(value) for value, label in ticks.items())
