"""How much noise is removed, what was removed, and files of which nothing changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import noisy_file
from conftest import run_cli as run
from image_samples import tiff_bytes
from PIL import Image

from denoise.files.images import read_image

pytestmark = pytest.mark.usefixtures("tiny_preset")
SIGMA = ["--sigma", "20"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a noisy image of bytes and one of floats."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("noisy.png"))
    floats = read_image(Path("noisy.png")).pixels / 8 - 7  # exact, also below 0
    floats[3, 4] = -0.0
    Path("noisy.tif").write_bytes(tiff_bytes(floats.astype(np.float32)))
    return tmp_path


def pixels(name: str) -> np.ndarray:
    return np.asarray(read_image(Path(name)).pixels, np.float64)


@pytest.mark.parametrize("source", ["noisy.png", "noisy.jpg", "noisy16.png", "noisy.tif"])
def test_strength_0_gives_the_input_back_bit_for_bit(source: str) -> None:
    Image.open("noisy.png").save("noisy.jpg", quality=61)
    deep = np.random.default_rng(0).integers(0, 65536, (24, 24)).astype(np.uint16)
    Image.fromarray(deep).save("noisy16.png")
    assert run(source, *SIGMA, "--strength", "0", "-o", f"out{Path(source).suffix}")[0] == 0
    assert Path(f"out{Path(source).suffix}").read_bytes() == Path(source).read_bytes()
    assert run(source, *SIGMA, "--strength", "0", "-o", "again.tif", "--strip")[0] == 0
    assert pixels("again.tif").tobytes() == pixels(source).tobytes()


@pytest.mark.parametrize("share", [0.25, 0.7])
def test_strength_mixes_the_input_and_the_result(share: float) -> None:
    sigma = ["--sigma", "2.5"]
    assert run("noisy.tif", *sigma, "-o", "full.tif")[0] == 0
    code, stdout, _ = run("noisy.tif", *sigma, "-o", "part.tif", "--strength", f"{share}", "--json")
    assert (code, json.loads(stdout)["strength"]) == (0, share)
    mixed = (1 - share) * pixels("noisy.tif") + share * pixels("full.tif")
    np.testing.assert_allclose(pixels("part.tif"), mixed, atol=1e-5)
    assert run("noisy.tif", *sigma, "-o", "one.tif", "--strength", "1")[0] == 0
    assert Path("one.tif").read_bytes() == Path("full.tif").read_bytes()


def test_missing_pixels_are_filled_in_at_any_strength() -> None:
    values = pixels("noisy.tif").astype(np.float32)
    values[5, 6] = np.nan
    Path("holes.tif").write_bytes(tiff_bytes(values))
    arguments = ["holes.tif", "--sigma", "2.5", "--fill-missing", "--residual", "r.npy"]
    assert run(*arguments, "-o", "full.tif")[0] == 0
    assert run(*arguments, "-o", "none.tif", "--strength", "0", "--overwrite")[0] == 0
    assert pixels("none.tif")[5, 6] == pixels("full.tif")[5, 6]
    removed = np.load("r.npy")
    assert np.argwhere(np.isnan(removed)).tolist() == [[5, 6]]
    assert np.nanmax(np.abs(removed)) == 0


@pytest.mark.parametrize("text", ["1.5", "-0.1", "nan", "half", "50%"])
def test_other_strengths_are_wrong_usage(text: str) -> None:
    code, stdout, stderr = run("noisy.png", *SIGMA, "--strength", text)
    assert (code, stdout) == (2, "")
    assert "'--strength': must be a number from 0 to 1, got" in stderr


@pytest.mark.parametrize("strength", ["1", "0.4"])
@pytest.mark.parametrize("source", ["noisy.png", "colour.png"])
def test_the_residual_is_what_is_missing_in_the_result(source: str, strength: str) -> None:
    colours = np.random.default_rng(1).normal(100, 20, (20, 24, 3)).clip(0, 255)
    Image.fromarray(colours.astype(np.uint8)).save("colour.png")
    more = ["-o", "out.png", "--strength", strength, "--overwrite"]
    assert run(source, *SIGMA, *more, "--residual", "r.npy")[0] == 0
    removed = np.load("r.npy")
    assert removed.dtype == np.float32
    np.testing.assert_array_equal(pixels(source) - removed, pixels("out.png"))
    for name in ("r.tif", "r.fits"):
        assert run(source, *SIGMA, *more, "--residual", name)[0] == 0
        assert read_image(Path(name)).sample_type == "float32"
        np.testing.assert_array_equal(pixels(name), removed)
    _, _, stderr = run(source, *SIGMA, *more, "--residual", "r.png")
    limit = np.sort(np.abs(removed).ravel())[-1 - int(0.001 * removed.size)]
    assert f"white that {limit:.3g} of 255 was, and black that as much was added" in stderr
    expected = np.clip(128 + removed * 127 / limit, 0, 255)
    np.testing.assert_allclose(pixels("r.png"), expected, atol=0.51)


@pytest.mark.parametrize("method", ["nl-means", "vq-vae"])
def test_other_methods_have_a_strength_and_a_residual(method: str) -> None:
    quick = [] if method == "nl-means" else ["--epochs", "1"]
    arguments = ["noisy.png", *SIGMA, "--method", method, *quick, "--residual", "r.npy"]
    assert run(*arguments, "--strength", "0.5", "-o", "out.png")[0] == 0
    np.testing.assert_array_equal(pixels("noisy.png") - np.load("r.npy"), pixels("out.png"))
    assert np.abs(np.load("r.npy")).max() > 0


def test_nothing_is_removed_from_what_is_no_picture() -> None:
    colours = np.random.default_rng(1).normal(100, 20, (20, 24, 4)).clip(0, 255).astype(np.uint8)
    colours[..., 3] = 255
    colours[:, :6, 3] = 0
    Image.fromarray(colours).save("cut.png")
    assert run("cut.png", *SIGMA, "--residual", "r.npy", "-o", "out.png")[0] == 0
    removed = np.load("r.npy")
    assert np.abs(removed[:, :6]).max() == 0 < np.abs(removed[:, 6:]).max()


@pytest.mark.parametrize(
    ("source", "output"),
    [("bits.pbm", "bits_denoised.pgm"), ("lies.jpg", "out.jpg"), ("noisy.png", "out.tif")],
)
def test_what_needs_another_file_is_written_anew(source: str, output: str) -> None:
    bits = Image.fromarray((pixels("noisy.png") > 100).astype(np.uint8) * 255)
    bits.convert("1").save("bits.pbm")
    Path("lies.jpg").write_bytes(Path("noisy.png").read_bytes())
    assert run(source, *SIGMA, "--strength", "0", "-o", output)[0] == 0
    magic = {".pgm": b"P5", ".jpg": b"\xff\xd8", ".tif": b"II*"}[Path(output).suffix]
    assert Path(output).read_bytes().startswith(magic)


def test_a_jpeg_without_noise_is_not_compressed_again() -> None:
    clean = np.repeat(np.arange(60, 220, 40), 12)[:, None] + np.zeros(48)
    Image.fromarray(clean.astype(np.uint8)).save("clean.jpg", quality=70)
    code, _, stderr = run("clean.jpg", "-o", "out.jpg")
    assert code == 0 and "there is no noise to speak of; written as it is" in stderr
    assert Path("out.jpg").read_bytes() == Path("clean.jpg").read_bytes()
    code, _, stderr = run("clean.jpg", "-o", "out.jpg")
    assert code == 1 and "out.jpg: exists already" in stderr
