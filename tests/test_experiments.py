"""Every script behind the log of experiments runs, on a tiny image."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import step_image

from denoise.files.images import write_image
from reduced_precision import RoundedProducts

# What is given besides the image, so that a script takes little time.
RUNS: list[Any] = [
    ("amplitude_settings", {"only": ["all patches, one update", "6x6, 6 x 16, H = 512"]}),
    ("calibration", {}),
    ("camera_noise", {"gains": "3e-3"}),
    ("estimators", {}),
    pytest.param("cold_start", {"counts": "1"}, marks=pytest.mark.slow),
    ("falling_noise", {"patch_size": 4}),
    ("learned_sigma", {"factors": "0.9,1"}),
    pytest.param("forecasts", {"presets": "fast"}, marks=pytest.mark.slow),
    ("forecasts", {"presets": "fast", "cpu": True}),
    pytest.param("memory", {"presets": "fast", "sides": "64"}, marks=pytest.mark.slow),
    ("missing_pixels", {"shares": "0,0.2"}),
    ("mixture_claims", {"table": "collapse"}),
    ("mixture_claims", {"table": "order"}),
    ("mixture_claims", {"table": "classes"}),
    ("mlp_settings", {"only": ["start", "F, hidden 64"]}),
    ("other_vaes", {"only": ["nash-vae", "gm-wae"]}),
    ("photon_noise", {}),
    ("reduced_precision", {}),
    ("refinement_settings", {"table": "chain", "only": ["0, then 6", "1, then 1"]}),
    ("refinement_settings", {"table": "groups", "only": ["window 20"], "from_noise": True}),
    ("refinement_time", {"runs": 1}),
    ("search_operators", {"patches": 64}),
    ("search_reach", {"count": 32}),
    ("stage_seconds", {}),
    ("temporal", {"only": ["still", "object"]}),
    ("thread_counts", {"presets": "fast", "threads": "1"}),
    ("vae_claims", {"table": "beta"}),
    ("vae_claims", {"table": "implicit"}),
    pytest.param("throughput", {"copies": 1, "ways": "--jobs 1"}, marks=pytest.mark.slow),
    ("v_mfa_settings", {"only": ["default", "point, 6 factors", "published"]}),
]


@pytest.mark.parametrize(("script", "options"), RUNS)
def test_a_script_prints_a_table_of_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str, options: dict[str, Any]
) -> None:
    path = tmp_path / "a.png"
    write_image(path, step_image(), overwrite=False)
    import_module(script).main(images=[path], epochs=1, **options)
    header, line, *rows = capsys.readouterr().out.splitlines()
    assert line == "|---" * (header.count("|") - 1) + "|"
    assert len(rows) >= len(options.get("only", [None]))
    for row in rows:
        assert row.count("|") == header.count("|")
        assert any(character.isdigit() for character in row)
        assert "nan" not in row


def test_errors_are_printed_for_ranges_and_hot_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    import_module("numeric_range").main(ranges="1e3", hot="1e5", side=24, epochs=1)
    errors = [float(row.split("|")[3]) for row in capsys.readouterr().out.splitlines()[2:]]
    assert len(errors) == 3
    assert max(errors) < 1


@pytest.mark.parametrize("bits", [7, 10])
def test_factors_of_products_are_rounded_to_the_nearest_number_of_few_bits(bits: int) -> None:
    values = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) + 1
    with RoundedProducts(bits):
        product = values @ torch.eye(8)
    assert torch.equal(product, (values * 2**bits).round() / 2**bits)
