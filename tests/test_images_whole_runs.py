"""Whole runs on files: every sample type, gray in colour, float64, and what a note says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import step_image
from image_samples import image_file, pillow_bytes, random_samples, stored, tiff_bytes
from PIL import Image, PngImagePlugin

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import denoise_file
from denoise.cli.settings import Settings
from denoise.errors import ImageError, OutputError
from denoise.files.images import read_image, write_image
from denoise.files.samples import quantised
from denoise.metrics import psnr


def pixels(*shape: int) -> np.ndarray:
    return random_samples("uint8", shape)


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_deep_colour_with_alpha_is_denoised_as_it_is(tmp_path: Path, suffix: str) -> None:
    clean = np.stack([step_image()] * 3, -1)
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape)
    samples, alpha = quantised(noisy, "uint16"), random_samples("uint16", (24, 24))
    like = image_file(samples, alpha)
    write_image(tmp_path / f"in{suffix}", like.pixels, like=like, overwrite=False)
    run(FileJob(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"), 20)
    image = read_image(tmp_path / f"out{suffix}")
    assert image.description == "24x24 RGB, uint16, alpha"
    assert np.array_equal(image.alpha, alpha)
    assert len(np.unique(quantised(image.pixels, "uint16"))) > 1000
    assert psnr(clean, image.pixels) > psnr(clean, noisy) + 3


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_gray_image_stored_in_colour_is_denoised_like_the_gray_one(
    tmp_path: Path, suffix: str
) -> None:
    noisy = step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))
    gray = quantised(noisy, "uint8")
    colour = np.stack([gray] * 3, -1)
    write_image(tmp_path / "gray.png", gray, overwrite=False)
    write_image(tmp_path / f"in{suffix}", colour, overwrite=False)
    run(FileJob(tmp_path / "gray.png", tmp_path / "expected.png"), 20)
    reference = save(tmp_path / "clean.png", np.stack([quantised(step_image(), "uint8")] * 3, -1))
    run(FileJob(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", reference), 20)
    expected = read_image(tmp_path / "expected.png").pixels
    written = stored(read_image(tmp_path / f"out{suffix}"))
    assert np.array_equal(written, np.stack([expected] * 3, -1))


@pytest.mark.usefixtures("tiny_preset")
def test_a_colour_image_may_have_a_gray_reference_stored_in_colour(tmp_path: Path) -> None:
    clean = quantised(np.stack([step_image()] * 3, -1), "uint8")
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape)
    write_image(tmp_path / "in.png", noisy, overwrite=False)
    job = FileJob(tmp_path / "in.png", tmp_path / "out.png", save(tmp_path / "clean.png", clean))
    report = denoise_file(job, Settings(sigma=20, device="cpu"))
    written = read_image(tmp_path / "out.png").pixels
    assert report.quality is not None
    assert report.quality.psnr == pytest.approx(psnr(clean, written))


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("offset", [1e6, -1e9])
def test_float64_far_from_0_is_denoised_like_the_same_image_near_it(
    tmp_path: Path, offset: float
) -> None:
    noisy = np.round(step_image() + np.random.default_rng(0).normal(0, 20, (24, 24))) / 1024
    for name, array in (("near", noisy), ("far", noisy + offset)):
        (tmp_path / f"{name}.tif").write_bytes(tiff_bytes(array))
        run(FileJob(tmp_path / f"{name}.tif", tmp_path / f"{name}_out.tif"), 20 / 1024)
    near, far = (read_image(tmp_path / f"{name}_out.tif").pixels for name in ("near", "far"))
    assert np.abs(far - offset - near).max() < 1e-3
    assert np.std(near - noisy) > 5e-3


def test_an_image_without_noise_is_written_as_it_is_in_float64(tmp_path: Path) -> None:
    clean = np.mgrid[:32, :32][1] * 1e-3 + 1 / 3
    (tmp_path / "in.tif").write_bytes(tiff_bytes(clean))
    report = denoise_file(FileJob(tmp_path / "in.tif", tmp_path / "out.tif"), Settings())
    assert "there is no noise to speak of; written as it is" in report.notes
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), clean)


@pytest.mark.usefixtures("tiny_preset")
def test_a_note_says_what_describes_the_pixels_and_has_no_place(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    image = Image.fromarray(pixels(24, 24, 3))
    image.save(tmp_path / "in.jpg", exif=tags, icc_profile=b"a profile")
    image.save(tmp_path / "in.png", pnginfo=gamma(1.0))
    expected = {
        ("in.jpg", "out.bmp", False): {
            "BMP has no place for the orientation: the picture will show turned or mirrored",
            "BMP has no place for the colour profile: colours may show differently",
        },
        ("in.jpg", "out.tif", False): set(),
        ("in.jpg", "out2.bmp", True): set(),  # asked for
        ("in.png", "out2.tif", False): {
            "TIFF has no place for the gamma of the PNG file: brightness may show differently"
        },
        ("in.png", "out.png", False): set(),
    }
    for (source, target, strip), sentences in expected.items():
        settings = Settings(sigma=50, device="cpu", strip=strip)
        report = denoise_file(FileJob(tmp_path / source, tmp_path / target), settings)
        assert set(report.notes) == sentences


def gamma(value: float) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", round(value * 100_000).to_bytes(4, "big"))
    return info


@pytest.mark.usefixtures("tiny_preset")
def test_floats_keep_their_units_and_missing_pixels_are_filled_if_told(tmp_path: Path) -> None:
    clean = step_image() / 255
    noisy = (clean + np.random.default_rng(0).normal(0, 0.08, clean.shape)).astype(np.float32)
    noisy[3, 4], noisy[5, 5] = np.nan, np.inf
    (tmp_path / "in.tif").write_bytes(tiff_bytes(noisy))
    (tmp_path / "clean.tif").write_bytes(tiff_bytes(clean.astype(np.float32)))
    (tmp_path / "clean.png").write_bytes(pillow_bytes(pixels(24, 24), "PNG"))
    job = FileJob(tmp_path / "in.tif", tmp_path / "out.tif", reference=tmp_path / "clean.tif")
    message = r"2 pixels are not finite \(first at row 3, column 4\); use --fill-missing"
    with pytest.raises(ImageError, match=message):
        run(job, 0.08)
    with pytest.raises(ImageError, match=r"holds uint8 pixels, but .* give both as integers or"):
        run(FileJob(job.image, job.output, tmp_path / "clean.png"), 0.08, fill_missing=True)
    with pytest.raises(OutputError, match=r"PNG holds no float32 pixels; use \.tif"):
        run(FileJob(job.image, tmp_path / "out.png"), 0.08, fill_missing=True)
    figure = tmp_path / "f.png"
    run(FileJob(job.image, job.output, job.reference, figure), 0.08, fill_missing=True)
    image = read_image(tmp_path / "out.tif")
    assert image.sample_type == "float32"
    assert image.find_non_finite() is None
    error = np.sqrt(np.mean((image.pixels - clean) ** 2))
    assert error < 0.06
    assert read_image(figure).pixels.std() > 30


def run(job: FileJob, sigma: float, *, fill_missing: bool = False) -> None:
    denoise_file(job, Settings(sigma=sigma, device="cpu", fill_missing=fill_missing))
