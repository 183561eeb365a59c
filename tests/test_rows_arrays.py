"""Rows of arrays in .npy, FITS and OME-Zarr that are read and written some at a time."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fits_samples import fits_bytes, sky, table
from hypothesis import given
from hypothesis import strategies as st
from image_samples import npy_bytes, random_samples
from zarr_samples import copy, write_ome_zarr

from denoise.files import fits as fits_format
from denoise.files.image_file import ImageFile
from denoise.files.images import encode_image, read_image
from denoise.files.outputs import atomic_folder
from denoise.files.rows import RowImage, open_rows, rows_format
from denoise.files.samples import SAMPLE_TYPES
from denoise.files.series import SeriesWriter

HEIGHT, WIDTH = 29, 21
STEPS = st.integers(1, HEIGHT)
TYPES, FITS_TYPES = sorted(SAMPLE_TYPES), sorted(fits_format.SAMPLE_TYPES)


def parts_of(image: RowImage, step: int) -> list[ImageFile]:
    """An image in pieces of so many rows."""
    height, _ = image.size
    return [image.rows(top, min(top + step, height)) for top in range(0, height, step)]


def check_parts(data: bytes | Path, step: int, frame: int | None = None) -> ImageFile:
    """Read an image as a whole and in rows, which have to be alike."""
    whole = read_image(data, frame=frame)
    with open_rows(data, frame=frame) as image:
        assert image.size == whole.pixels.shape[:2]
        parts = parts_of(image, step)
    joined = ImageFile.joined(parts)
    np.testing.assert_array_equal(joined.pixels, whole.pixels)
    np.testing.assert_array_equal(joined.picture, whole.picture)
    np.testing.assert_array_equal(joined.alpha, whole.alpha)
    assert {part.notes for part in parts} == {whole.notes}
    assert all(part.metadata == whole.metadata for part in parts)
    return whole


def written_in_rows(data: bytes, step: int, frame: int | None = None) -> bytes:
    file = io.BytesIO()
    with open_rows(data, frame=frame) as image:
        like = image.like
        write = SeriesWriter(
            file, rows_format(None, like), (), strip=False, height=image.size[0]
        ).write
        for part in parts_of(image, step):
            write(part)
    return file.getvalue()


@given(
    st.sampled_from([*TYPES, "bool"]),
    st.sampled_from([(), (1,), (3,), (4,)]),
    st.sampled_from([(), (1,), (3,), (2, 3)]),
    st.booleans(),
    STEPS,
)
def test_rows_of_npy_are_those_of_the_whole(sample_type, samples, outer, fortran, step) -> None:
    shape = (*outer, HEIGHT, WIDTH, *samples)
    array = random_samples("uint8", shape) > 99
    if sample_type != "bool":
        array = random_samples(sample_type, shape).astype(np.dtype(sample_type).newbyteorder(">"))
    data, frame = npy_bytes(np.asarray(array, order="F" if fortran else "C")), int(np.prod(outer))
    whole = check_parts(data, step, frame)
    written = written_in_rows(data, step, frame)
    assert written == encode_image(whole.pixels, whole)
    if frame == 1 and sample_type != "bool":
        assert written == data


@given(
    st.sampled_from(FITS_TYPES),
    st.sampled_from([(), (3,), (2, 4)]),
    st.booleans(),
    st.booleans(),
    STEPS,
)
def test_rows_of_fits_are_those_of_the_whole(sample_type, outer, colours, first, step) -> None:
    array = random_samples(sample_type, (*outer, HEIGHT, WIDTH))
    unit = sky(array, fits.PrimaryHDU if first else fits.ImageHDU)
    if colours and outer == (3,):
        unit.header["CTYPE3"] = "RGB"
        unit.add_checksum()
    units = [unit, table()] if first else [fits.PrimaryHDU(), unit]
    data = fits_bytes(*units)
    frames = read_image(data, frame=1).frames
    whole = check_parts(data, step, frames)
    written = written_in_rows(data, step, frames)
    assert written == encode_image(whole.pixels, whole)
    if frames == 1:
        assert written == data


def test_missing_values_of_fits_are_found_in_rows() -> None:
    array = random_samples("int16", (HEIGHT, WIDTH))
    array[5:9, 3:7] = 77
    unit = fits.PrimaryHDU(array)
    unit.header["BLANK"] = 77
    assert check_parts(fits_bytes(unit), 6).void is not None


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("step", [1, 7, 16, HEIGHT])
@pytest.mark.parametrize("sample_type", ["uint16", "float32"])
def test_rows_of_ome_zarr_are_those_of_the_whole(
    version: int, step: int, sample_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array, levels = random_samples(sample_type, (HEIGHT, WIDTH)), ((15, 11), (5, 4))
    options = {"shards": (16, 16), "chunks": (8, 8)} if version == 3 else {"chunks": (8, 8)}
    write_ome_zarr(Path("in.zarr"), array, "yx", version=version, levels=levels, **options)
    check_parts(Path("in.zarr"), step)
    copy("in.zarr", "whole.zarr")
    with open_rows(Path("in.zarr")) as image, atomic_folder(Path("rows.zarr")) as folder:
        form = rows_format(Path("rows.zarr"), image.like)
        write = SeriesWriter(folder, form, (), strip=False, height=HEIGHT).write
        for part in parts_of(image, step):
            write(part)
    whole, rows = (
        {one.relative_to(name): one.read_bytes() for one in Path(name).rglob("*") if one.is_file()}
        for name in ("whole.zarr", "rows.zarr")
    )
    assert whole == rows


@pytest.mark.parametrize(("suffix", "order"), [(".npy", "C"), (".npy", "F"), (".fits", "C")])
def test_memory_is_that_of_some_rows(suffix: str, order: str, tmp_path: Path) -> None:
    side, rows, path = 2048, 16, tmp_path / f"in{suffix}"
    array = np.asarray(random_samples("float32", (side, side)), order=order)
    path.write_bytes(npy_bytes(array) if suffix == ".npy" else fits_bytes(fits.PrimaryHDU(array)))
    tracemalloc.start()
    try:
        with open_rows(path) as image, (tmp_path / f"out{suffix}").open("w+b") as file:
            form = rows_format(None, image.like)
            write = SeriesWriter(file, form, (), strip=False, height=side).write
            for top in range(0, side, rows):
                write(image.rows(top, top + rows))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes / 4
    assert (tmp_path / f"out{suffix}").read_bytes() == path.read_bytes()
