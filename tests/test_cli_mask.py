"""Masks: which pixels they mark, and what becomes of the marked and of all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import noisy_file, run_cli, step_image
from PIL import Image

from denoise.files.image_file import ImageFile
from denoise.files.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("tiny_preset")

# A scratch in the darker half of `step_image`.
SCRATCH = (slice(4, 20), slice(5, 7))


def write_mask(path: Path, *, value: int = 255, mode: str = "L") -> Path:
    """An image of the size of `step_image` in which the scratch is marked."""
    mask = np.zeros((24, 24), np.uint8)
    mask[SCRATCH] = value
    Image.fromarray(mask).convert(mode).save(path, quality=100)
    return path


def scratched(folder: Path) -> tuple[Path, np.ndarray]:
    """A clean image with a white scratch."""
    pixels = np.rint(step_image()).astype(np.uint8)
    pixels[SCRATCH] = 255
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder / "photo.png", pixels


def denoised(photo: Path, *arguments: str) -> np.ndarray:
    output = photo.with_name("out.png")
    code, _, stderr = run_cli(str(photo), "-o", str(output), "--overwrite", *arguments)
    assert code == 0, stderr
    return np.asarray(Image.open(output))


@pytest.mark.parametrize(
    ("name", "value", "mode"),
    [("m.png", 255, "L"), ("m.png", 1, "L"), ("m.tif", 255, "RGB"), ("m.jpg", 255, "L")],
)
def test_without_noise_marked_pixels_are_filled_and_the_others_stay(
    tmp_path: Path, name: str, value: int, mode: str
) -> None:
    photo, pixels = scratched(tmp_path)
    mask = write_mask(tmp_path / name, value=value, mode=mode)
    result = denoised(photo, "--mask", str(mask), "--sigma", "0")
    others = np.ones((24, 24), bool)
    others[SCRATCH] = False
    assert np.array_equal(result[others], pixels[others])
    error = np.abs(result[SCRATCH].astype(float) - step_image()[SCRATCH])
    assert error.mean() < 40 < np.abs(255 - step_image()[SCRATCH]).mean()


def test_transparent_pixels_of_a_mask_mark_and_its_colours_do_not(tmp_path: Path) -> None:
    photo, pixels = scratched(tmp_path)
    alpha = np.full((24, 24), 255, np.uint8)
    alpha[SCRATCH] = 0
    Image.fromarray(np.dstack([pixels] * 3 + [alpha])).save(tmp_path / "erased.png")
    by_alpha = denoised(photo, "--mask", str(tmp_path / "erased.png"), "--sigma", "0")
    write_mask(tmp_path / "mask.png")
    by_value = denoised(photo, "--mask", str(tmp_path / "mask.png"), "--sigma", "0")
    assert np.array_equal(by_alpha, by_value)
    assert not np.array_equal(by_value, pixels)


def test_noise_and_missing_pixels_together(tmp_path: Path) -> None:
    noisy_file(tmp_path / "noisy.png")
    mask = write_mask(tmp_path / "mask.png")
    result = denoised(tmp_path / "noisy.png", "--mask", str(mask), "--sigma", "20")
    plain = denoised(tmp_path / "noisy.png", "--sigma", "20")
    assert not np.array_equal(result[SCRATCH], plain[SCRATCH])
    assert np.abs(result.astype(float) - step_image()).mean() < 20


def test_a_marked_pixel_may_be_nan_and_others_may_not(tmp_path: Path) -> None:
    pixels = step_image().astype(np.float32)
    pixels[SCRATCH] = np.nan
    like = ImageFile(tmp_path / "map.tif", pixels, sample_type="float32", format="TIFF")
    write_image(like.path, pixels, like=like, overwrite=False)
    mask = write_mask(tmp_path / "mask.png")
    arguments = [str(tmp_path / "map.tif"), "--mask", str(mask), "--sigma", "0"]
    code, _, stderr = run_cli(*arguments)
    assert code == 0, stderr
    assert np.isfinite(read_image(tmp_path / "map_denoised.tif").pixels).all()
    pixels[0, 0] = np.nan
    write_image(like.path, pixels, like=like, overwrite=True)
    code, _, stderr = run_cli(*arguments, "--overwrite")
    assert (code, "1 pixels are not finite (first at row 0, column 0)" in stderr) == (1, True)


def test_a_folder_of_masks(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    for name in "ab":
        noisy_file(tmp_path / "in" / f"{name}.png")
    write_mask(tmp_path / "masks" / "a.tif")
    arguments = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--sigma", "20"]
    code, _, stderr = run_cli(*arguments, "--mask", str(tmp_path / "masks"))
    assert code == 0
    assert "a.png: the mask marks 32 pixels to fill in" in stderr.replace("note: ", "")
    assert "b.png: no image of this name in" in stderr
    one, other = (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in "ab")
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((20, 24)), "the mask is 24x20 pixels, but"),
        (np.full((24, 24), 9.0), "the mask marks every pixel"),
        (None, "no such file"),
    ],
)
def test_masks_that_do_not_fit(tmp_path: Path, mask: np.ndarray | None, message: str) -> None:
    photo, _ = scratched(tmp_path)
    if mask is not None:
        write_image(tmp_path / "mask.png", mask, overwrite=False)
    code, _, stderr = run_cli(str(photo), "--mask", str(tmp_path / "mask.png"), "--sigma", "0")
    assert code == 1
    assert message in stderr
    assert not (tmp_path / "photo_denoised.png").exists()


def test_a_mask_is_not_written_over(tmp_path: Path) -> None:
    photo, _ = scratched(tmp_path)
    mask = write_mask(tmp_path / "mask.png")
    code, _, stderr = run_cli(str(photo), "--mask", str(mask), "-o", str(mask), "--overwrite")
    assert code == 2
    assert "is read as" in stderr


def test_nothing_to_do_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    photo, _ = scratched(tmp_path)
    code, _, stderr = run_cli(str(photo), "--sigma", "0")
    assert code == 0
    assert (tmp_path / "photo_denoised.png").read_bytes() == photo.read_bytes()
    empty = write_mask(tmp_path / "mask.png", value=0)
    code, _, stderr = run_cli(str(photo), "--mask", str(empty), "--sigma", "0", "--overwrite")
    assert (code, "the mask marks no pixel to fill in" in stderr) == (0, True)
    assert (tmp_path / "photo_denoised.png").read_bytes() == photo.read_bytes()
