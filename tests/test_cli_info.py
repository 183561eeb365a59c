"""`denoise info`: facts of files, the noise that a run finds, and a command that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import documented_keys, step_image
from image_samples import pillow_bytes, tiff_bytes
from info_runs import facts, follow, info, lines, noisy_image, noisy_png
from test_images_metadata import source
from test_spectrum import smooth_noise

from denoise.files.images import read_image
from denoise.files.samples import to_8bit
from denoise.presets import PRESETS


@pytest.fixture(autouse=True)
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known_speed: float, tiny_preset: None
) -> Path:
    """An empty folder, a machine of known speed, and tiny models."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_image_is_described_for_people() -> None:
    noisy_png("my photo.png")
    code, stdout, stderr = info("my photo.png")
    assert (code, stderr) == (0, "")
    assert stdout.startswith("my photo.png\n  format     PNG, 48x48 gray, uint8, ")
    found = lines(stdout)
    assert set(found) == {"format", "metadata", "noise", *PRESETS, "device", "run"}
    assert found["noise"].startswith("sigma 1") and found["noise"].endswith(" of 255 (estimated)")
    assert found["balanced"].endswith(" GB (default)")
    assert found["run"] == "denoise 'my photo.png' --device cpu"


def test_the_json_keys_are_documented() -> None:
    noisy_png("a.png")
    assert documented_keys("`denoise info --json`") == set(facts("a.png"))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.png", source("PNG"), {"format": "PNG", "dtype": "uint8", "orientation": 6}),
        ("a.jpg", source("JPEG"), {"format": "JPEG", "channels": 3, "width": 12, "height": 16}),
        ("a.tif", tiff_bytes(np.eye(32, dtype=np.float32) * 2), {"range": [0, 2]}),
        ("b.tif", tiff_bytes(np.eye(32, dtype=np.int16) - 9), {"range": [-9, -8]}),
        ("a", pillow_bytes(np.eye(32, dtype=np.uint16) * 65_535, "PNG"), {"range": [0, 65_535]}),
    ],
)
def test_formats_and_values_are_those_of_the_file(
    name: str, data: bytes, expected: dict[str, Any]
) -> None:
    Path(name).write_bytes(data)
    found = facts(name)
    assert expected.items() <= found.items()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_metadata_that_is_kept_is_named(format_: str) -> None:
    Path("a").write_bytes(source(format_))
    found = facts("a")["metadata"]
    assert {"colour profile", "XMP", "orientation 6"} <= set(found)
    assert ("300x150 dpi" in found) == (format_ != "WEBP")
    Path("plain.png").write_bytes(pillow_bytes(np.eye(32, dtype=np.uint8), "PNG"))
    assert facts("plain.png")["metadata"] == []


def test_the_noise_is_the_one_that_a_run_finds() -> None:
    pixels = noisy_image(64).astype(float)
    pixels[10, 12] = pixels[50, 20] = 255
    Path("hot.png").write_bytes(pillow_bytes(to_8bit(pixels), "PNG"))
    found, report = facts("hot.png"), follow("denoise hot.png")
    for name in ("sigma", "sensor", "coloured", "notes"):
        assert found[name] == report[name]
    assert found["outliers"] == 2
    assert found["notes"] == [
        "2 outliers (hot or dead pixels) were filled in; --keep-outliers leaves them"
    ]


def test_a_file_of_several_frames_is_described_and_one_of_them_measured() -> None:
    stack = np.stack([noisy_image(48, sigma) for sigma in np.linspace(5, 25, 12)])
    tifffile.imwrite(
        "stack.tif", stack.reshape(2, 3, 2, 48, 48), imagej=True, metadata={"axes": "TZCYX"}
    )
    found = facts("stack.tif")
    assert (found["frames"], found["frame"], found["images"]) == (12, 1, 12)
    assert list(found["axes"].items()) == [("T", 2), ("Z", 3), ("C", 2)]
    assert lines(info("stack.tif")[1])["frames"] == ("12, T 2, Z 3, C 2; the rest is about frame 1")
    assert "--frame" not in found["command"]  # all of them are denoised
    assert follow(found["command"])["images"] == 12
    Path("pages.tif").write_bytes(tiff_bytes(stack, photometric="minisblack"))
    last = facts("pages.tif", "--frame", "12")
    assert (last["frames"], last["frame"], last["axes"]) == (12, 12, {"I": 12})
    assert last["images"] == 1
    assert all(
        last["presets"][name]["seconds"] < one["seconds"] / 2
        for name, one in found["presets"].items()
    )
    assert last["sigma"] > 2 * found["sigma"]
    assert follow(last["command"])["sigma"] == last["sigma"]
    code, _, stderr = info("pages.tif", "--frame", "13")
    assert (code, stderr) == (
        1,
        "error: pages.tif: has no frame 13; --frame must lie in 1..12\n",
    )


def test_transparent_pixels_are_no_picture() -> None:
    alpha = np.full((48, 48), 255, np.uint8)
    alpha[:12] = 0
    pixels = noisy_image()
    pixels[:12] = 0
    Path("a.png").write_bytes(pillow_bytes(np.dstack([pixels, alpha]), "PNG"))
    found = facts("a.png")
    assert (found["alpha"], found["no_picture"], found["missing"]) == (True, 0.25, 0)
    assert found["range"] == [pixels[12:].min(), pixels[12:].max()]
    assert lines(info("a.png")[1])["no"].startswith("picture 25.00% of the pixels")


def test_missing_values_are_counted_and_filled_in_by_the_command() -> None:
    pixels = noisy_image().astype(np.float32)
    pixels[3:6, 4], pixels[7, 7] = np.nan, np.inf
    Path("holes.tif").write_bytes(tiff_bytes(pixels))
    found = facts("holes.tif")
    assert found["missing"] == 4
    assert found["range"] == [np.nanmin(pixels), pixels[np.isfinite(pixels)].max()]
    assert "--fill-missing" in found["command"]
    assert follow(found["command"])["sigma"] == found["sigma"]


def test_an_image_without_noise_has_nothing_to_wait_for() -> None:
    Path("clean.png").write_bytes(pillow_bytes(to_8bit(step_image(48, 48)), "PNG"))
    found = facts("clean.png")
    assert (found["sigma"], found["presets"], found["problem"]) == (0, {}, None)
    assert found["notes"] == ["there is no noise to speak of; written as it is"]
    assert follow(found["command"])["sigma"] == 0
    code, _, stderr = info("clean.png", "--figure", "f.png")
    assert (code, stderr) == (0, "note: f.png: is not written, there is no noise to draw\n")
    assert not Path("f.png").exists()


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.eye(5, dtype=np.uint8), "the image is 5x5 pixels, too small to estimate its noise"),
        (np.full((32, 32), np.nan, np.float32), "the image holds no value at all"),
    ],
)
def test_what_cannot_be_measured_is_said_and_the_rest_printed(
    samples: np.ndarray, problem: str
) -> None:
    Path("a.tif").write_bytes(tiff_bytes(samples))
    found = facts("a.tif")
    assert found["problem"].startswith(problem)
    assert (found["command"], found["sigma"], found["presets"]) == (None, None, {})
    code, stdout, stderr = info("a.tif")
    assert (code, stderr) == (0, "")
    assert lines(stdout)["noise"].startswith(f"not measured: {problem}")
    assert "run" not in lines(stdout)


def test_a_broken_file_is_one_line_of_error() -> None:
    data = noisy_png("whole.png").read_bytes()
    Path("broken.png").write_bytes(data[:500])
    Path("folder").mkdir()
    for name, message in (
        ("broken.png", "truncated image file"),
        ("none.png", "no such file"),
        ("folder", "cannot be read"),
    ):
        code, stdout, stderr = info(name)
        assert (code, stdout) == (1, "")
        assert stderr.startswith(f"error: {name}: {message}") and stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["a 'b' $c.png", "-dash.png", "noise", "sub/*.png", "wrong.jpg"])
def test_the_command_can_be_copied_whatever_the_name(name: str) -> None:
    Path("sub").mkdir()
    samples = noisy_image() if name != "wrong.jpg" else noisy_image().astype(np.uint16) * 257
    Path(name).write_bytes(pillow_bytes(samples, "PNG"))
    for _ in range(2):  # the second time, the usual name of the result is taken
        found = facts("--", name)
        assert follow(found["command"])["status"] == "done"


def test_options_that_a_run_needs_too_are_in_the_command() -> None:
    noisy_png("a.png")
    command = facts("a.png", "--max-pixels", "2304")["command"]
    assert command == "denoise a.png --max-pixels 2304 --device cpu"
    assert info("a.png", "--max-pixels", "2303")[0] == 1


def test_the_figure_shows_the_noise_and_replaces_no_file() -> None:
    pixels = to_8bit(120 + 9 * smooth_noise((96, 96), 1))
    Path("a.png").write_bytes(pillow_bytes(pixels, "PNG"))
    assert info("a.png", "--figure", "f.png")[0] == 0
    correlated = read_image(Path("f.png")).pixels
    code, stdout, stderr = info("a.png", "--figure", "f.png")
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: f.png: exists already; use --overwrite")
    assert info("a.png", "--figure", "a.png", "--overwrite")[2] == (
        "error: a.png: is the input; give another name\n"
    )
    assert Path("a.png").read_bytes() == pillow_bytes(pixels, "PNG")
    noisy_png("white.png")
    assert info("white.png", "--figure", "f.png", "--overwrite")[0] == 0
    white = read_image(Path("f.png")).pixels
    assert white.shape == correlated.shape
    # Cells of neighbours are blue where the noise is correlated; the pixel itself always is.
    tile = (slice(70, 277), slice(468, 676))
    for picture, cells in ((white, 1), (correlated, 9)):
        blue = (picture[tile][..., 2] > picture[tile][..., 0] + 40).reshape(9, 23, 208)
        assert blue.any((1, 2)).sum() >= np.sqrt(cells)
        assert (blue.sum() > 600) == (cells > 1)
