"""OME-Zarr images: what goes in comes out, as the library zarr sees it, and levels are means."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from image_samples import random_samples, stored

from denoise.errors import ImageError
from denoise.files.images import read_image
from denoise.files.samples import SAMPLE_TYPES
from denoise.files.series import open_series

numcodecs = pytest.importorskip("numcodecs", reason="needs zarr: pip install '.[zarr]'")
zarr = pytest.importorskip("zarr", reason="needs zarr: pip install '.[zarr]'")
from zarr_samples import OMERO, OWN, STACK, copy, metadata_files, stack, write_ome_zarr  # noqa: E402

# Axes, the shape of level 0, and those of the others: halved in Y and X, at last in Z.
SHAPES = {
    "yx": ((33, 40), ((17, 20), (9, 10))),
    "zyx": ((5, 33, 40), ((5, 16, 20), (2, 8, 10))),
    "czyx": ((2, 5, 24, 32), ((2, 3, 12, 16),)),
    "tczyx": ((2, 2, 3, 24, 32), ((2, 2, 3, 12, 16), (2, 2, 2, 6, 8))),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def means(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Block means, by the definition."""
    result = np.empty(shape)
    # All lengths of these tests are halved once or twice.
    factors = [2 ** round(math.log2(n / m)) for n, m in zip(array.shape, shape, strict=True)]
    for place in np.ndindex(*shape):
        block = tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))
        result[place] = array[block].mean(dtype=np.float64)
    return result


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("axes", "sample_type"),
    [*((axes, "uint16") for axes in SHAPES), *(("tczyx", one) for one in sorted(SAMPLE_TYPES))],
)
def test_an_image_comes_out_as_it_went_in(version: int, axes: str, sample_type: str) -> None:
    shape, levels = SHAPES[axes]
    array = random_samples(sample_type, shape)
    write_ome_zarr(Path("in.zarr"), array, axes, version=version, levels=levels)
    copy("in.zarr", "out.zarr")
    assert metadata_files(Path("out.zarr")) == metadata_files(Path("in.zarr"))
    after = zarr.open_group("out.zarr", mode="r")
    ome = after.attrs["ome"] if version == 3 else after.attrs
    assert (ome["omero"], after.attrs["experiment"]) == (OMERO, OWN["experiment"])
    np.testing.assert_array_equal(after["s0"][...], array)
    for number, expected in enumerate(levels, start=1):
        level = after[f"s{number}"]
        assert (level.shape, level.dtype, level.attrs["of"]) == (expected, array.dtype, number)
        exact = means(array, expected)
        if array.dtype.kind == "f":
            np.testing.assert_allclose(level[...], exact, rtol=2e-3, atol=0.5)
            np.testing.assert_array_equal(level[...], exact.astype(array.dtype))
        else:
            np.testing.assert_array_equal(level[...], np.rint(exact))


def test_images_lie_along_all_axes_but_their_own() -> None:
    shape, levels = SHAPES["tczyx"]
    array = random_samples("uint16", shape)
    write_ome_zarr(Path("in.zarr"), array, "tczyx", levels=levels)
    with open_series(Path("in.zarr")) as series:
        assert series is not None
        assert (series.like.format, series.axes) == ("OME-Zarr", (("T", 2), ("C", 2), ("Z", 3)))
        for number, image in enumerate(array.reshape(12, 24, 32)):
            np.testing.assert_array_equal(stored(series.read(number)), image)
            assert series.channel_of(number) == number // 3 % 2
    frame = read_image(Path("in.zarr"), frame=12)
    np.testing.assert_array_equal(stored(frame), array[1, 1, 2])
    with pytest.raises(ImageError, match=r"in\.zarr: holds 12 images; choose one with --frame"):
        read_image(Path("in.zarr"))
    with pytest.raises(ImageError, match=r"in\.zarr: 32x24 is more than 100 pixels"):
        read_image(Path("in.zarr"), frame=1, max_pixels=100)


def test_axes_by_the_user_make_colours_of_channels() -> None:
    array = random_samples("uint8", (3, 2, 24, 32))
    write_ome_zarr(Path("in.zarr"), array, "czyx", levels=((3, 2, 12, 16),))
    with open_series(Path("in.zarr"), axes="SZYX") as series:
        assert series is not None
        assert (series.axes, series.like.channels) == ((("Z", 2),), 3)
        np.testing.assert_array_equal(stored(series.read(0)), np.moveaxis(array[:, 0], 0, 2))
    copy("in.zarr", "out.zarr", axes="SZYX")
    after = zarr.open_group("out.zarr", mode="r")
    np.testing.assert_array_equal(after["s0"][...], array)
    np.testing.assert_array_equal(after["s1"][...], np.rint(means(array, (3, 2, 12, 16))))
    with pytest.raises(ImageError, match="axes TYX do not fit an array of 3x2x24x32"):
        copy("in.zarr", "other.zarr", axes="TYX")


def test_images_that_are_divided_by_the_user_keep_the_axes_of_the_folder() -> None:
    array = random_samples("uint8", (12, 33, 40))
    write_ome_zarr(Path("in.zarr"), array, "zyx")
    with open_series(Path("in.zarr"), axes="T6C2YX") as series:
        assert series.axes == (("T", 6), ("C", 2))
    copy("in.zarr", "out.zarr", axes="T6C2YX")
    assert metadata_files(Path("out.zarr")) == metadata_files(Path("in.zarr"))
    np.testing.assert_array_equal(zarr.open_group("out.zarr", mode="r")["s0"][...], array)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (2, {"compressors": None, "fill_value": 7, "order": "F"}),
        (2, {"chunks": (2, 10, 7), "chunk_key_encoding": {"name": "v2", "separator": "/"}}),
        (3, {"chunks": (1, 8, 8), "shards": (2, 16, 16)}),
        (3, {"compressors": zarr.codecs.GzipCodec(level=5), "dimension_names": ["t", "y", "x"]}),
    ],
)
def test_storage_is_that_of_the_source(version: int, options: dict[str, object]) -> None:
    array = random_samples("uint16", STACK[0])
    array[1, :16] = 7  # a chunk that may not be written
    write_ome_zarr(Path("in.zarr"), array, STACK[1], version=version, **options)
    copy("in.zarr", "out.zarr")
    np.testing.assert_array_equal(zarr.open_group("out.zarr", mode="r")["s0"][...], array)
    names = [
        sorted(one.relative_to(p) for one in p.rglob("*"))
        for p in map(Path, ("in.zarr", "out.zarr"))
    ]
    assert names[0] == names[1]
    for name in names[0]:
        if Path("in.zarr", name).is_file():
            assert Path("in.zarr", name).read_bytes() == Path("out.zarr", name).read_bytes(), name


def test_what_else_lies_in_the_folder_is_copied() -> None:
    stack()
    labels = Path("in.zarr/labels/nuclei")
    write_ome_zarr(labels, random_samples("uint8", (24, 32)), "yx")
    zarr.open_group("in.zarr/labels", mode="a", zarr_format=2).attrs["labels"] = ["nuclei"]
    zarr.consolidate_metadata("in.zarr", zarr_format=2)
    Path("in.zarr/OME").mkdir()
    Path("in.zarr/OME/METADATA.ome.xml").write_text("<OME/>")
    Path("in.zarr/s0/.hidden").write_text("no metadata of Zarr")
    copy("in.zarr", "out.zarr")
    for part in (labels, Path("in.zarr/OME"), Path("in.zarr/.zmetadata")):
        other = Path("out.zarr") / part.relative_to("in.zarr")
        files = [one for one in [part, *part.rglob("*")] if one.is_file()]
        assert files
        for one in files:
            assert one.read_bytes() == (other / one.relative_to(part)).read_bytes()
    assert not Path("out.zarr/s0/.hidden").exists()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_strip_leaves_what_makes_it_an_image(version: int, consolidated: bool) -> None:
    array = stack(version=version)
    if consolidated and version == 2:
        zarr.consolidate_metadata("in.zarr", zarr_format=version)
    copy("in.zarr", "out.zarr", strip=True)
    before, after = (zarr.open_group(one, mode="r") for one in ("in.zarr", "out.zarr"))
    np.testing.assert_array_equal(after["s0"][...], array)
    if version == 2:
        assert dict(after.attrs) == {"multiscales": before.attrs["multiscales"]}
    else:
        ome = before.attrs["ome"]
        assert dict(after.attrs) == {"ome": {"version": "0.5", "multiscales": ome["multiscales"]}}


def test_nan_stays_where_it_is() -> None:
    array = random_samples("float32", STACK[0])
    array[1, 3, 4] = np.nan
    write_ome_zarr(Path("in.zarr"), array, STACK[1], levels=((3, 12, 16),))
    copy("in.zarr", "out.zarr")
    after = zarr.open_group("out.zarr", mode="r")
    np.testing.assert_array_equal(after["s0"][...], array)
    assert np.argwhere(np.isnan(after["s1"][...])).tolist() == [[1, 1, 2]]
