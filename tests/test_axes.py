"""Axes by the user: letters and lengths that say what the images of a file are."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import run_cli
from hypothesis import given
from hypothesis import strategies as st
from image_samples import (
    npy_bytes,
    pillow_bytes,
    random_samples,
    rewritten,
    tiff_bytes,
)
from series_samples import noisy_stack, report
from test_series_files import tags
from typer.testing import CliRunner

from denoise.cli.main import app
from denoise.errors import ImageError
from denoise.files.axes import named_axes
from denoise.files.series import open_series

# Of `stack`.
TIMES, CHANNELS = 3, 2
# Pages of which the file says nothing.
PLAIN: dict[str, Any] = {"photometric": "minisblack", "metadata": None}


@pytest.fixture
def stack(tiny_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(3, 2, 24, 24), the second channel with a quarter of the noise; a folder with `plain.tif`."""
    monkeypatch.chdir(tmp_path)
    samples = noisy_stack(TIMES, CHANNELS)
    samples[:, 1] = noisy_stack(TIMES, sigma=5, seed=1)
    pages = samples.reshape(-1, 24, 24)
    Path("plain.tif").write_bytes(tiff_bytes(pages, resolution=(300, 200), software="lab", **PLAIN))
    Path("described.tif").write_bytes(
        tiff_bytes(samples, imagej=True, metadata={"axes": "TCYX"}, photometric="minisblack")
    )
    return samples


def command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is named first."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


@given(st.permutations("TZC"), st.lists(st.integers(1, 4), min_size=3, max_size=3), st.data())
def test_lengths_divide_images_in_the_order_of_the_file(letters, lengths, data) -> None:
    count = int(np.prod(lengths))
    left_out = data.draw(st.sampled_from([None, 0, 1, 2]))
    names = "".join(
        letter + ("" if number == left_out else str(length))
        for number, (letter, length) in enumerate(zip(letters, lengths, strict=True))
    )
    data_ = npy_bytes(random_samples("uint8", (count, 2, 5)))
    with open_series(data_, axes=names + "YX") as series:
        long = zip(letters, lengths, strict=True)
        assert series.axes == tuple((letter, length) for letter, length in long if length > 1)
        places = np.argwhere(np.ones(lengths))
        assert [series.channel_of(n) for n in range(count)] == list(places[:, letters.index("C")])


@pytest.mark.parametrize("names", ["T6C2YX", "TC2YX", "T6CYX", "t6c2", "T6C2YXS"])
def test_plain_pages_are_told_apart(names: str) -> None:
    data = tiff_bytes(random_samples("uint8", (12, 4, 5)), **PLAIN)
    with open_series(data, axes=names) as series:
        assert series.axes == (("T", 6), ("C", 2))
        assert [series.channel_of(number) for number in range(12)] == [0, 1] * 6
        assert [series.sequence_of(number) for number in range(12)] == [(0,), (1,)] * 6
    with open_series(data, axes="C2T6YX") as series:
        assert [series.channel_of(number) for number in range(12)] == [0] * 6 + [1] * 6


def test_lengths_of_the_user_count_more_than_those_of_the_file() -> None:
    samples = random_samples("uint8", (4, 3, 6, 5))
    data = tiff_bytes(samples, imagej=True, metadata={"axes": "TZYX"}, photometric="minisblack")
    for source in (data, npy_bytes(samples)):
        with open_series(source, axes="T6C2YX") as series:
            assert series.axes == (("T", 6), ("C", 2))
        with open_series(source, axes="T4ZYX") as series:
            assert series.axes == (("T", 4), ("Z", 3))
    assert named_axes("TZ2C", (6, 2, 3)) == (("T", 6), ("Z", 2), ("C", 3))


@pytest.mark.parametrize("sample_type", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_plain_pages_stay_plain_pages(sample_type: str, compression: str | None) -> None:
    samples = random_samples(sample_type, (12, 6, 5))
    options = {"compression": compression, "resolution": (300.5, 200), "software": "lab"}
    data = tiff_bytes(samples, **options, **PLAIN)
    copied = rewritten(data, "T6C2YX")
    assert copied == rewritten(data)
    assert rewritten(copied, "TC2YX") == copied
    with tifffile.TiffFile(io.BytesIO(copied)) as after:
        assert len(after.pages) == 12
        assert 270 not in {tag.code for page in after.pages for tag in page.tags}
        np.testing.assert_array_equal(np.stack([page.asarray() for page in after.pages]), samples)


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((12, 4, 5), "T6C2YX"),
        ((12, 4, 5), "TC2"),
        ((1, 12, 4, 5), "TC2YX"),
        ((4, 3, 4, 5), "T6CYX"),
        ((12, 4, 5, 3), "T2ZC3YXS"),
        ((12, 4, 5, 3), "T2ZC3"),
    ],
)
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_keep_their_shape(shape: tuple[int, ...], names: str, fortran: bool) -> None:
    array = np.asarray(random_samples("uint16", shape), order="F" if fortran else "C")
    assert rewritten(npy_bytes(array), names) == npy_bytes(array)


def test_pages_become_an_array_of_the_axes_that_were_named() -> None:
    samples = random_samples("uint8", (12, 4, 5))
    array = np.load(io.BytesIO(rewritten(tiff_bytes(samples, **PLAIN), "T6C2YX", suffix=".npy")))
    np.testing.assert_array_equal(array, samples.reshape(6, 2, 4, 5))


@pytest.mark.parametrize("names", ["T5C2YX", "TC5YX", "TZC2YX", "T24CYX", "T6YX"])
def test_lengths_that_do_not_fit_are_refused(names: str) -> None:
    samples = random_samples("uint8", (12, 4, 5))
    message = f"axes {names} do not fit: it holds 12 images; give lengths whose product is 12, of"
    for data in (tiff_bytes(samples, **PLAIN), npy_bytes(samples)):
        with pytest.raises(ImageError, match=message), open_series(data, axes=names):
            pass


@pytest.mark.parametrize("names", ["T3YX", "YXT2", "Y5X5T", "T6C2YX"])
def test_an_array_whose_axes_have_other_lengths_is_refused(names: str) -> None:
    data = npy_bytes(random_samples("uint8", (4, 5, 12)))
    with pytest.raises(ImageError, match=f"axes {names} do not fit"), open_series(data, axes=names):
        pass


def test_each_channel_of_plain_pages_has_its_noise_and_model(stack: np.ndarray) -> None:
    found = report("plain.tif", "--axes", "T3C2YX", "-o", "a.tif")
    described = report("described.tif", "-o", "b.tif")
    assert (found["images"], found["axes"]) == (6, {"T": 3, "C": 2})
    sigmas = [one["sigma"] for one in found["noises"]]
    assert sigmas == [one["sigma"] for one in described["noises"]]
    assert sigmas[0] > 2 * sigmas[1]
    denoised = tifffile.imread("b.tif").reshape(-1, 24, 24)
    with tifffile.TiffFile("plain.tif") as before, tifffile.TiffFile("a.tif") as after:
        np.testing.assert_array_equal([page.asarray() for page in after.pages], denoised)
        for first, second in zip(before.pages, after.pages, strict=True):
            assert tags(second.aspage()) == tags(first.aspage())


def test_an_array_keeps_its_shape_on_the_command_line(stack: np.ndarray) -> None:
    np.save("plain.npy", stack.reshape(-1, 24, 24))
    options = ["--sigma", "20", "--method", "nl-means", "--axes", "TC2YX"]
    report("plain.tif", *options, "-o", "a.tif")
    found = report("plain.npy", *options, "-o", "a.npy")
    assert found["axes"] == {"T": 3, "C": 2}
    np.testing.assert_array_equal(np.load("a.npy"), tifffile.imread("a.tif"))
    assert report("plain.npy", *options, "-o", "a.npy", "--skip-existing")["status"] == "skipped"
    report("plain.tif", *options, "-o", "b.npy")
    assert np.load("b.npy").shape == stack.shape


def test_frames_of_a_channel_help_each_other(stack: np.ndarray) -> None:
    options = ["--sigma", "20", "--decoder", "amplitude", "--temporal", "1"]
    report("plain.tif", "--axes", "TC2YX", *options, "-o", "a.tif")
    report("described.tif", *options, "-o", "b.tif")
    denoised = tifffile.imread("b.tif").reshape(-1, 24, 24)
    np.testing.assert_array_equal(tifffile.imread("a.tif"), denoised)
    assert (denoised != tifffile.imread("plain.tif")).any()


def test_wrong_lengths_cost_their_file_and_malformed_axes_the_run(stack: np.ndarray) -> None:
    Path("short.tif").write_bytes(tiff_bytes(stack.reshape(-1, 24, 24)[:5], **PLAIN))
    code, stdout, stderr = run_cli("short.tif", "plain.tif", "--sigma", "20", "--axes", "TC2YX")
    assert code == 1
    assert (
        "short.tif: axes TC2YX do not fit: it holds 5 images; give lengths whose product is 5, of"
        " which one may be left out, as in TC2YX" in stderr
    )
    assert "6 images (T3 C2)" in stdout
    assert Path("plain_denoised.tif").exists() and not Path("short_denoised.tif").exists()
    for wrong in ("", "T0C2YX", "6TYX", "TY24X24", "T6T2YX", "T-6YX", "T6.5YX", "T9999999999"):
        for name in ((), ("info",), ("noise",)):
            code, _, stderr = command(*name, "plain.tif", "--axes", wrong)
            assert code == 2
            assert "must be different letters" in " ".join(stderr.split())


def test_info_names_the_axes_and_a_command_that_works(stack: np.ndarray, known_speed: Any) -> None:
    options = ["info", "plain.tif", "--device", "cpu", "--axes", "tc2yx"]
    code, stdout, stderr = command(*options)
    assert (code, stderr) == (0, "")
    assert "6, T 3, C 2; the rest is about frame 1" in stdout
    found = json.loads(command(*options, "--frame", "3", "--json")[1])
    assert (found["input"], found["frames"], found["frame"]) == ("plain.tif", 6, 3)
    assert found["axes"] == {"T": 3, "C": 2}
    assert shlex.split(found["command"])[2:6] == ["--frame", "3", "--axes", "TC2YX"]
    whole = json.loads(command(*options, "--json")[1])["command"]
    assert whole == "denoise plain.tif --axes TC2YX --device cpu"
    done = report(*shlex.split(whole)[1:])
    assert done["axes"] == found["axes"]


def test_info_and_noise_take_the_frame_along_the_axes_that_were_named(
    stack: np.ndarray, known_speed: Any
) -> None:
    frames = stack.reshape(-1, 24, 24)
    np.save("yxt.npy", np.moveaxis(frames, 0, -1))
    for number in (1, 2, 6):
        np.save("alone.npy", frames[number - 1])
        named = ("yxt.npy", "--axes", "YXT6", "--frame", str(number), "--json")
        assert command("noise", *named)[1] == command("noise", "alone.npy", "--json")[1]
        whole, alone = (
            json.loads(command("info", "--device", "cpu", *one)[1])
            for one in (named, ("alone.npy", "--json"))
        )
        assert (whole["sigma"], whole["range"]) == (alone["sigma"], alone["range"])
    code, _, stderr = command("noise", "yxt.npy", "--axes", "YXT")
    assert code == 1
    assert "yxt.npy: holds 6 images; choose one with --frame, from 1 to 6" in stderr


@pytest.mark.parametrize("name", ["info", "noise"])
def test_info_and_noise_refuse_axes_that_do_not_fit(stack: np.ndarray, name: str) -> None:
    code, stdout, stderr = command(name, "plain.tif", "--axes", "T4CYX", "--frame", "1")
    assert (code, stdout) == (1, "")
    assert stderr == (
        "error: plain.tif: axes T4CYX do not fit: it holds 6 images; give lengths whose product"
        " is 6, of which one may be left out, as in TC2YX\n"
    )
    Path("a.png").write_bytes(pillow_bytes(stack[0, 0], "PNG"))
    code, _, stderr = command(name, "a.png", "--axes", "TYX")
    assert (code, stderr) == (1, "error: a.png: PNG holds one image, which has no axes\n")
