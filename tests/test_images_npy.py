"""Arrays of NumPy: every shape, type and order of axes comes out as it went in."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_samples import image_file, npy_bytes, random_samples, rewritten, stored, tiff_bytes

from denoise.errors import DamagedImageError, ImageError
from denoise.files.images import encode_image, read_image
from denoise.files.outputs import atomic_file
from denoise.files.samples import SAMPLE_TYPES
from denoise.files.series import SeriesWriter, open_series, series_format

TYPES = sorted(SAMPLE_TYPES)
LENGTHS = {"T": 5, "Z": 2, "C": 6, "Y": 8, "X": 7, "S": 3}


def random_array(sample_type: str, letters: str, order: str, *, fortran: bool) -> np.ndarray:
    array = random_samples(sample_type, tuple(LENGTHS[letter] for letter in letters))
    dtype = array.dtype.newbyteorder(order)
    return np.asarray(array, dtype, order="F" if fortran else "C")


def images_of(array: np.ndarray, letters: str) -> np.ndarray:
    """Images (height, width) or (height, width, samples), one after the other."""
    outer = [letter for letter in letters if letter not in "YXS"]
    inner = [letter for letter in "YXS" if letter in letters]
    moved = array.transpose([letters.index(letter) for letter in (*outer, *inner)])
    return moved.reshape(-1, *moved.shape[len(outer) :])


@given(
    st.sampled_from(TYPES),
    st.sampled_from(["YX", "YXS", "TYX", "TZYX", "TYXS", "TZCYXS"]),
    st.sampled_from("<>"),
    st.booleans(),
)
def test_arrays_come_out_byte_by_byte(sample_type, letters, order, fortran) -> None:
    array = random_array(sample_type, letters, order, fortran=fortran)
    data, images = npy_bytes(array), images_of(array, letters)
    assert rewritten(data) == data
    outer = letters[: letters.index("Y")]
    with open_series(data) as series:
        axes = () if series is None else series.axes
    assert [length for _, length in axes] == [LENGTHS[letter] for letter in outer]
    assert len({name for name, _ in axes}) == len(outer)
    image = read_image(data, frame=len(images))
    assert image.sample_type == sample_type
    assert np.array_equal(stored(image), images[-1])
    alone = np.load(io.BytesIO(encode_image(image.pixels, image)))
    assert alone.dtype == array.dtype
    assert np.array_equal(alone, images[-1])


@given(st.permutations("TZYXS"), st.sets(st.sampled_from("TZS")), st.booleans(), st.data())
def test_axes_in_any_order_come_out_in_that_order(letters, left_out, fortran, data) -> None:
    names = "".join(letter for letter in letters if letter not in left_out)
    array = random_array(data.draw(st.sampled_from(TYPES)), names, ">", fortran=fortran)
    written = npy_bytes(array)
    assert rewritten(written, names.lower()) == written
    images = images_of(array, names)
    with open_series(written, axes=names) as series:
        assert series.axes == tuple((one, LENGTHS[one]) for one in names if one in "TZ")
        assert len(series) == len(images)
        for number, image in enumerate(images):
            assert np.array_equal(stored(series.read(number)), image)


@pytest.mark.parametrize("names", ["TYX", "YXT"])
def test_files_on_a_disk_are_like_those_in_memory(tmp_path: Path, names: str) -> None:
    array = random_array("uint16", names, ">", fortran=False)
    (tmp_path / "in.npy").write_bytes(npy_bytes(array))
    with (
        open_series(tmp_path / "in.npy", axes=names) as series,
        atomic_file(tmp_path / "out.npy") as file,
    ):
        form = series_format(tmp_path / "out.npy", series.read(0))
        writer = SeriesWriter(file, form, series.axes, strip=False)
        for number in range(len(series)):
            writer.write(series.read(number))
    assert (tmp_path / "out.npy").read_bytes() == npy_bytes(array)
    assert sorted(os.listdir(tmp_path)) == ["in.npy", "out.npy"]


def test_axes_of_an_image_may_be_left_out_and_those_of_length_1_stay() -> None:
    array = random_samples("uint8", (1, 5, 1, 8, 7, 3))
    assert rewritten(npy_bytes(array), "tzc") == npy_bytes(array)
    assert rewritten(npy_bytes(array)) == npy_bytes(array)
    with open_series(npy_bytes(array), axes="TZC") as series:
        assert series.axes == (("Z", 5),)
    one = random_samples("uint8", (1, 8, 7, 1))
    with open_series(npy_bytes(one)) as series:
        assert series is None
    assert rewritten(npy_bytes(one)) == npy_bytes(one)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_samples_of_a_pixel_are_an_axis_of_their_own(samples: int) -> None:
    array = random_samples("uint8", (6, 8, samples))
    with open_series(npy_bytes(array), axes="YXS") as series:
        image = series.read(0)
    assert image.channels == (1 if samples < 3 else 3)
    assert (image.alpha is None) == (samples in (1, 3))
    assert np.array_equal(stored(image), array.squeeze())
    assert rewritten(npy_bytes(array), "YXS") == npy_bytes(array)
    gray = image_file(array[..., 0], array[..., -1] if samples == 2 else None)
    alone = np.load(io.BytesIO(encode_image(gray.pixels, gray, ".npy")))
    assert alone.shape == ((6, 8, 4) if samples == 2 else (6, 8))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_are_read(version: tuple[int, int]) -> None:
    array = random_samples("uint16", (6, 8))
    assert np.array_equal(stored(read_image(npy_bytes(array, version))), array)


def test_bits_become_gray() -> None:
    bits = random_samples("uint8", (3, 6, 8)) > 127
    image = read_image(npy_bytes(bits), frame=2)
    assert image.notes == ("1-bit pixels are written as 8-bit gray",)
    assert np.array_equal(image.pixels, 255.0 * bits[1])
    assert np.array_equal(np.load(io.BytesIO(rewritten(npy_bytes(bits)))), np.uint8(255) * bits)


def test_stacks_move_between_tiff_and_npy() -> None:
    stack = random_samples("int16", (3, 6, 8))
    described = tiff_bytes(stack, photometric="minisblack", metadata={"axes": "ZYX"}, ome=True)
    data = rewritten(described, suffix=".npy")
    assert np.array_equal(np.load(io.BytesIO(data)), stack)
    with open_series(rewritten(data, suffix=".tif")) as series:
        assert [np.array_equal(stored(series.read(n)), stack[n]) for n in range(3)] == [True] * 3


def header(text: str, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


def described(shape: str, descr: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy_bytes(np.zeros((4, 4), np.int64)), "64-bit type int64 cannot be denoised; convert"),
        (npy_bytes(np.zeros((4, 4), np.uint32)), "32-bit type uint32 cannot be denoised"),
        (npy_bytes(np.zeros((4, 4), np.complex64)), "64-bit type complex64 cannot be denoised"),
        (npy_bytes(np.zeros((4, 4), "i4,f4")), "64-bit type void64 cannot be denoised"),
        (npy_bytes(np.zeros((4, 4), "U3")), "96-bit type str96 cannot be denoised"),
        (npy_bytes(np.array([[None, 1]], object)), "64-bit type object cannot be denoised"),
        (npy_bytes(np.zeros(9)), "is an array of 1 axes; 2 to 7 can be read"),
        (npy_bytes(np.zeros((1,) * 8)), "is an array of 8 axes; 2 to 7 can be read"),
        (npy_bytes(np.zeros((4, 4))) + b"\0", "holds 1 bytes after its array; save the array"),
        (header("", b"\7\2"), r"is of version 7\.2 of NPY; use 1\.0, 2\.0 or 3\.0"),
        (npy_bytes(np.zeros((200, 300), np.uint8)), "300x200 is more than 50000 pixels"),
    ],
    ids=range(11),
)
def test_arrays_of_other_kinds_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(data, max_pixels=50_000)
    assert not isinstance(caught.value, DamagedImageError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (described("(100000, 100000)"), "truncated image file: 0 of 40000000000 bytes"),
        (described("(10**9, 9)"), "damaged NPY file: malformed node"),
        (described("(-4, 4)"), r"damaged image file: its size is \(-4, 4\)"),
        (described("(0, 4)"), "damaged image file: its size is 0x4"),
        (described(f"({2**70}, {2**70})"), "truncated image file: 0 of"),
        (described("(4, 4)", "'nonsense'"), "damaged NPY file: descr is not a valid dtype"),
        (header("{" * 5000), "damaged image file: its header has no end"),
        (b"\x93NUMPY\1\0\xff\xff" + b" " * 0xFFFF, "damaged NPY file: Header info length"),
    ],
    ids=range(8),
)
def test_headers_that_lie_are_refused_before_anything_is_read(data: bytes, message: str) -> None:
    with pytest.raises(DamagedImageError, match=message) as caught:
        read_image(data)
    assert "\n" not in str(caught.value)


def test_an_array_that_breaks_off_anywhere_is_refused() -> None:
    data = npy_bytes(random_samples("uint16", (3, 4, 5)))
    for end in range(len(data)):
        with pytest.raises(ImageError):
            read_image(data[:end], frame=1)
    assert read_image(data, frame=1).frames == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("YX", "axes YX do not fit an array of 3x4x5; give a letter for each of its axes"),
        ("TZYX", "do not fit"),
        ("TTX", "do not fit"),
        ("TZX", "do not fit"),
        ("T1YX", "do not fit"),
        ("YXS", "has 5 channels; gray or RGB, with or without alpha, can be read"),
    ],
)
def test_axes_that_do_not_fit_are_refused(names: str, message: str) -> None:
    data = npy_bytes(random_samples("uint8", (3, 4, 5)))
    with pytest.raises(ImageError, match=message), open_series(data, axes=names):
        pass


def test_only_the_image_that_is_read_counts_for_the_limit_of_pixels() -> None:
    data = npy_bytes(np.zeros((50, 20, 30), np.uint8))
    with open_series(data, max_pixels=600) as series:
        assert series.read(49).pixels.shape == (20, 30)
    with (
        open_series(data, max_pixels=599) as series,
        pytest.raises(ImageError, match="image 50 of 50: 30x20 is more than 599 pixels"),
    ):
        series.read(49)
