"""OME-Zarr images: what goes in comes out, as the library zarr sees it, and levels are means."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from image_samples import random_samples, stored, tiff_bytes

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files.images import check_writable, encode_image, read_image, write_image
from denoise.files.inputs import find_images, is_folder
from denoise.files.outputs import atomic_folder, check_output
from denoise.files.samples import SAMPLE_TYPES
from denoise.files.series import SeriesWriter, open_series, series_format

numcodecs = pytest.importorskip("numcodecs", reason="needs zarr: pip install '.[zarr]'")
zarr = pytest.importorskip("zarr", reason="needs zarr: pip install '.[zarr]'")
from zarr_samples import OMERO, OWN, metadata_files, write_ome_zarr  # noqa: E402

# Axes, the shape of level 0, and those of the others: halved in Y and X, at last in Z.
SHAPES = {
    "yx": ((33, 40), ((17, 20), (9, 10))),
    "zyx": ((5, 33, 40), ((5, 16, 20), (2, 8, 10))),
    "czyx": ((2, 5, 24, 32), ((2, 3, 12, 16),)),
    "tczyx": ((2, 2, 3, 24, 32), ((2, 2, 3, 12, 16), (2, 2, 2, 6, 8))),
}
STACK = ((3, 24, 32), "tyx")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def copy(source: str, target: str, *, axes: str | None = None, strip: bool = False) -> None:
    """Read and write all images of a folder, as they are."""
    path = Path(target)
    with open_series(Path(source), axes=axes) as series:
        if series is None:
            image = read_image(Path(source))
            write_image(path, image.pixels, like=image, strip=strip, overwrite=True)
            return
        form = series_format(path, series.first)
        with atomic_folder(path) as folder:
            writer = SeriesWriter(folder, form, series.axes, strip=strip)
            for number in range(len(series)):
                writer.write(series.read(number))


def stack(name: str = "in.zarr", sample_type: str = "uint16", **options: object) -> np.ndarray:
    array = random_samples(sample_type, STACK[0])
    write_ome_zarr(Path(name), array, STACK[1], levels=((3, 12, 16),), **options)
    return array


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
        assert (series.format, series.axes) == ("OME-Zarr", (("T", 2), ("C", 2), ("Z", 3)))
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
        assert (series.axes, series.first.channels) == ((("Z", 2),), 3)
        np.testing.assert_array_equal(stored(series.first), np.moveaxis(array[:, 0], 0, 2))
    copy("in.zarr", "out.zarr", axes="SZYX")
    after = zarr.open_group("out.zarr", mode="r")
    np.testing.assert_array_equal(after["s0"][...], array)
    np.testing.assert_array_equal(after["s1"][...], np.rint(means(array, (3, 2, 12, 16))))
    with pytest.raises(ImageError, match="axes TYX do not fit an array of 3x2x24x32"):
        copy("in.zarr", "other.zarr", axes="TYX")


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


def change(path: Path, **values: object) -> None:
    """Other attributes of an image of format 2."""
    group = zarr.open_group(path, mode="r+")
    group.attrs.put({**group.attrs.asdict(), **values})


def axes_named(*names: str) -> list[dict[str, object]]:
    """What `multiscales` says of one level with such axes."""
    return [{"axes": [{"name": one} for one in names], "datasets": [{"path": "s0"}]}]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"plate": {"wells": [{"path": "B/03"}]}},
            "is a plate of many images; name one, such as in.zarr/B/03/0",
        ),
        (
            {"well": {"images": [{"path": "1"}]}},
            "is a well of many images; name one, such as in.zarr/1",
        ),
        ({"bioformats2raw.layout": 3}, "is a collection of images; name one, such as in.zarr/0"),
        ({"image-label": {}}, "holds labels, which have no noise; name the image"),
        ({"multiscales": []}, "holds 0 OME-Zarr images (multiscales); name a folder of one"),
        ({"multiscales": [1, 2]}, "holds 2 OME-Zarr images (multiscales); name a folder of one"),
        ({"multiscales": [{"datasets": [{"path": "s0"}]}]}, "does not name its axes"),
        ({"multiscales": axes_named("arc", "y", "x")}, "has the axes arc, y, x; those of letters"),
        ({"multiscales": axes_named("y", "y", "x")}, "has the axes y, y, x; those of letters"),
        ({"multiscales": axes_named("c", "z", "t")}, "has the axes c, z, t; those of letters"),
        (
            {"multiscales": axes_named("y", "x")},
            "damaged OME-Zarr image: level 0 (s0) is an array of 3 axes, and 2 are named, YX",
        ),
        (
            {"multiscales": [{"axes": axes_named(*"tyx")[0]["axes"], "datasets": []}]},
            "damaged OME-Zarr image: it has no level",
        ),
        ({"plate": {}}, "damaged OME-Zarr file: 'wells'"),
    ],
)  # fmt: skip
def test_what_is_no_image_of_brightness_is_refused(values: dict[str, object], message: str) -> None:
    stack()
    change(Path("in.zarr"), **values)
    with pytest.raises(ImageError) as caught, open_series(Path("in.zarr")):
        pass
    assert str(caught.value).startswith(f"in.zarr: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint32", "int64", "bool", "complex64"])
def test_types_that_cannot_be_denoised_are_refused(dtype: str) -> None:
    write_ome_zarr(Path("in.zarr"), np.zeros(STACK[0], dtype), STACK[1])
    with pytest.raises(ImageError, match=rf"type {dtype} cannot be denoised; convert"):
        read_image(Path("in.zarr"), frame=1)


def test_levels_have_to_fit() -> None:
    array = random_samples("uint8", (10, 10))
    write_ome_zarr(Path("a.zarr"), array, "yx", levels=((5, 6),))
    with pytest.raises(
        ImageError, match=r"a\.zarr: level 1 is 5x6, not 10x10 divided by whole numbers, along X"
    ):
        read_image(Path("a.zarr"))
    write_ome_zarr(Path("b.zarr"), array, "yx", levels=((5, 5),))
    shutil.rmtree("b.zarr/s1")
    with pytest.raises(
        DamagedImageError, match=r"b\.zarr: damaged OME-Zarr image: level 1 \(s1\) is missing"
    ):
        read_image(Path("b.zarr"))
    # No folder beside the image is taken for a level of it.
    write_ome_zarr(Path("c.zarr"), array, "yx")
    image = {"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "../a.zarr/s0"}]}
    change(Path("c.zarr"), multiscales=[image])
    with pytest.raises(
        DamagedImageError, match=r"c\.zarr: damaged OME-Zarr file: .*'\.\.' segments"
    ):
        read_image(Path("c.zarr"))


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (2, {"compressors": numcodecs.Blosc()}),
        (2, {"compressors": numcodecs.Zstd()}),
        (2, {"compressors": None}),
        (3, {"compressors": zarr.codecs.BloscCodec()}),
        (3, {"compressors": zarr.codecs.ZstdCodec()}),
        (3, {"chunks": (1, 8, 8), "shards": (1, 16, 16), "compressors": zarr.codecs.BloscCodec()}),
    ],
)
@pytest.mark.parametrize("how", ["cut", "other bytes", "empty"])
def test_damaged_chunks_are_named(version: int, options: dict[str, object], how: str) -> None:
    stack(version=version, **options)
    name = "s0/1.0.1" if version == 2 else "s0/c/1/0/1"
    chunk = Path("in.zarr", name)
    data = chunk.read_bytes()
    chunk.write_bytes({"cut": data[: len(data) // 2], "other bytes": b"\7" * 50, "empty": b""}[how])
    with open_series(Path("in.zarr")) as series:
        assert series is not None
        series.read(0)
        with pytest.raises(DamagedImageError, match=r"^in\.zarr: image 2 of 3: damaged OME-Zarr"):
            series.read(1)
        series.read(2)


@pytest.mark.parametrize("name", [".zattrs", ".zgroup", "s0/.zarray"])
@pytest.mark.parametrize("text", ["", "{", "[]", '{"zarr_format": 2}'])
def test_damaged_metadata_are_one_line(name: str, text: str) -> None:
    stack()
    Path("in.zarr", name).write_text(text)
    if (name, text) == (".zgroup", '{"zarr_format": 2}'):
        text = "{}"
        Path("in.zarr/.zattrs").write_text(text)
    with pytest.raises(ImageError, match=r"^in\.zarr: ") as caught:
        read_image(Path("in.zarr"), frame=1)
    assert "\n" not in str(caught.value)


def test_an_array_alone_is_no_image() -> None:
    stack()
    with pytest.raises(ImageError, match=r"s0: is an array of Zarr alone; name the folder of the"):
        read_image(Path("in.zarr/s0"))


def test_only_a_whole_ome_zarr_image_is_written_as_one() -> None:
    stack()
    Path("a.tif").write_bytes(tiff_bytes(np.zeros((4, 5), np.uint8)))
    for image in (read_image(Path("in.zarr"), frame=2), read_image(Path("a.tif"))):
        with pytest.raises(
            OutputError, match="OME-Zarr is written only of all images of an OME-Zarr"
        ):
            check_writable(Path("out.zarr"), image)
        with pytest.raises(ImageError, match=r"of an OME-Zarr; use \.png or"):
            write_image(Path("out.zarr"), image.pixels, like=image, overwrite=False)
    with open_series(Path("in.zarr")) as series:
        assert series is not None
        with pytest.raises(ImageError, match="OME-Zarr is a folder; give it a name"):
            encode_image(series.first.pixels, series.first)
    with pytest.raises(ImageError, match="lies in the folder of its source"):
        copy("in.zarr", "in.zarr/out.zarr")
    assert not Path("in.zarr/out.zarr").exists()
    assert not Path("out.zarr").exists()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    array = stack()
    with pytest.raises(KeyboardInterrupt), atomic_folder(Path("out.zarr")) as folder:
        shutil.copytree("in.zarr", folder, dirs_exist_ok=True)
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir()] == ["in.zarr"]
    copy("in.zarr", "out.zarr")
    full = pytest.raises(OutputError, match=r"out\.zarr: cannot be written: full")
    with full, atomic_folder(Path("out.zarr")):
        raise OSError("full")
    np.testing.assert_array_equal(zarr.open_group("out.zarr", mode="r")["s0"][...], array)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack()
    copy("in.zarr", "out.zarr")
    Path("out.zarr/old").touch()
    with pytest.raises(OutputError, match=r"out\.zarr: exists already; use --overwrite"):
        check_output(Path("out.zarr"), (".zarr",), overwrite=False)
    check_output(Path("out.zarr"), (".zarr",), overwrite=True)
    copy("in.zarr", "out.zarr")
    assert not Path("out.zarr/old").exists()
    Path("out.zarr/old").touch()
    rename, renamed = Path.rename, []

    def fails_once(self: Path, target: Path) -> Path:
        renamed.append(self.name)
        if len(renamed) == 2:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(OutputError, match=r"out\.zarr: cannot be written: no"):
        copy("in.zarr", "out.zarr")
    assert Path("out.zarr/old").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]
    # A folder of other things is the user's.
    Path("other.zarr").mkdir()
    with pytest.raises(OutputError, match=r"other\.zarr: is a folder; give a file name"):
        check_output(Path("other.zarr"), (".zarr",), overwrite=True)


def test_a_folder_of_zarr_is_found_as_one_image() -> None:
    stack("in/b.ome.zarr")
    stack("in/sub/c.zarr", version=3)
    stack("in/.hidden.zarr")
    Path("in/a.png").touch()
    Path("in/plain.zarr").mkdir()
    Path("in/plain.zarr/d.png").touch()

    def names(*inputs: str, recursive: bool = False) -> list[str]:
        sources, problems = find_images(inputs, (".png", ".zarr"), recursive=recursive)
        assert problems == []
        return [str(one.path) for one in sources]

    assert names("in") == ["in/a.png", "in/b.ome.zarr"]
    assert names("in", recursive=True) == [
        "in/a.png", "in/b.ome.zarr", "in/plain.zarr/d.png", "in/sub/c.zarr"
    ]  # fmt: skip
    assert names("in/b.ome.zarr/") == names("in/*.zarr") == ["in/b.ome.zarr"]
    assert is_folder("in/plain.zarr")
    assert not is_folder("in/b.ome.zarr/")


def test_without_zarr_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stack()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImageError) as caught, open_series(Path("in.zarr")):
        pass
    assert str(caught.value) == "in.zarr: OME-Zarr needs zarr: pip install '.[zarr]'"
