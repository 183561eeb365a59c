"""Every file that can be read has a name for its result under which it can be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_samples import image_file, pillow_bytes, random_samples, stored
from PIL import Image
from test_images_damage import valid_files

from denoise.cli.one_file import denoise_file
from denoise.cli.options import Files
from denoise.cli.plan import Plan, plan_jobs
from denoise.cli.settings import Settings
from denoise.files.formats import BY_NAME
from denoise.files.images import check_writable, read_image, write_image


def pixels(*shape: int) -> np.ndarray:
    return random_samples("uint8", shape)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize(
    ("name", "mode", "format_", "result"),
    [
        ("a.pbm", "1", "PPM", "a_denoised.pgm"),
        ("a.jfif", "RGB", "JPEG", "a_denoised.jfif"),
        ("a.jpe", "L", "JPEG", "a_denoised.jpe"),
        ("a.mpo", "RGB", "JPEG", "a_denoised.jpg"),
        ("a.dib", "RGB", "BMP", "a_denoised.dib"),
        ("a.gtiff", "RGB", "TIFF", "a_denoised.tif"),
        ("a", "LA", "PNG", "a_denoised.png"),
        ("a.PNG", "RGBA", "PNG", "a_denoised.PNG"),
        ("a.apng", "RGBA", "PNG", "a_denoised.png"),
    ],
)
def test_every_file_that_is_read_has_a_default_name_for_its_result(
    tmp_path: Path, name: str, mode: str, format_: str, result: str
) -> None:
    source = Image.fromarray(pixels(24, 24, 4)).convert(mode)
    (tmp_path / name).write_bytes(pillow_bytes(source, format_))
    (job,) = plan([str(tmp_path / name)], None).jobs
    assert job.output == tmp_path / result
    denoise_file(job, Settings(sigma=20, device="cpu"))
    before, after = (stored(read_image(tmp_path / one)) for one in (name, result))
    assert before.shape == after.shape
    (mirrored,) = plan([str(tmp_path / name)], f"{tmp_path}/results/").jobs
    assert mirrored.output is not None
    assert mirrored.output.suffix == Path(result).suffix


def plan(inputs: list[str], output: str | None) -> Plan:
    return plan_jobs(Files(images=inputs, output=output))


@pytest.mark.parametrize("name", valid_files())
def test_every_image_fits_into_its_own_format(name: str) -> None:
    image = read_image(valid_files()[name], frame=1)
    suffix = BY_NAME[image.format].suffixes[0]
    is_colour_pnm = image.format == "PNM" and image.channels == 3
    check_writable(Path("a.ppm" if is_colour_pnm else f"a{suffix}"), image)


def test_bmp_with_alpha_stays_bmp_with_alpha(tmp_path: Path) -> None:
    path = tmp_path / "in.bmp"
    like = image_file(pixels(24, 24, 3), pixels(24, 24), format_="BMP")
    write_image(path, like.pixels, like=like, overwrite=False)
    (job,) = plan([str(path)], None).jobs
    check_writable(job.output, read_image(path))


def test_bitmaps_are_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P1 1 1 1\n")
    (tmp_path / "a.jfif").write_bytes(pillow_bytes(pixels(4, 4), "JPEG"))
    names = [job.output.name for job in plan([str(tmp_path)], None).jobs]
    assert names == ["a_denoised.jfif", "a_denoised.pgm"]
