"""Images of a file that help each other, on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import run_cli, step_image
from image_samples import tiff_bytes
from series_samples import SIGMA, noisy_stack, report, write_stack


@pytest.fixture(autouse=True)
def folder(tiny_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with `stack.tif`."""
    monkeypatch.chdir(tmp_path)
    write_stack()


def test_frames_help_each_other_within_their_channel_and_depth() -> None:
    stack = noisy_stack(3, 2, sigma=10)
    stack[:, 1] = 255 - stack[:, 1]
    for name, axes in (("tz.tif", "TZYX"), ("tc.tif", "TCYX")):
        tifffile.imwrite(name, stack, imagej=True, metadata={"axes": axes})
    first = stack[:, 0]
    Path("t.tif").write_bytes(tiff_bytes(first, photometric="minisblack"))
    options = ["--sigma", "10", "--decoder", "amplitude"]
    alone = report("tz.tif", *options, "-o", "alone.tif")
    options += ["--temporal", "1"]
    assert alone["settings"] == report("tz.tif", *options)["settings"]
    clean = np.stack([step_image(), 255 - step_image()])
    errors = [np.std(tifffile.imread(name) - clean) for name in ("alone.tif", "tz_denoised.tif")]
    assert errors[1] < 0.85 * errors[0]
    for name in ("tc.tif", "t.tif"):
        report(name, *options)
    np.testing.assert_array_equal(
        tifffile.imread("tc_denoised.tif")[:, 0], tifffile.imread("t_denoised.tif")
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--model-per-frame"], "--model-per-frame cannot be used with --temporal"),
        (["--frame", "2"], "--frame cannot be used with --temporal"),
        (["--method", "nl-means"], "--temporal cannot be used with --method nl-means"),
        (["--preset", "paper"], "--temporal works in the refinement, which paper lacks; use an"),
        (["--shard", "1/2"], "stack.tif: its images help each other with --temporal, so that th"),
    ],
)
def test_what_does_not_go_with_frames_that_help_each_other_is_refused(
    more: list[str], reason: str
) -> None:
    code, _, stderr = run_cli("stack.tif", *SIGMA, "--temporal", "1", *more)
    assert code != 0
    assert reason in " ".join(stderr.replace("│", "").split())
    assert run_cli("stack.tif", "--temporal", "17")[0] == 2
    assert [path.name for path in Path().iterdir()] == ["stack.tif"]


def test_an_image_that_no_other_can_help_is_told() -> None:
    Path("one.tif").write_bytes(tiff_bytes(noisy_stack()))
    (note,) = report("one.tif", *SIGMA, "--temporal", "1")["notes"]
    assert note.startswith("it is one image, which no other can help")
