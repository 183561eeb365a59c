"""OME-Zarr images that cannot be denoised, or are damaged: one line that says why."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from image_samples import random_samples

from denoise.errors import DamagedImageError, ImageError
from denoise.files.images import read_image
from denoise.files.series import open_series

numcodecs = pytest.importorskip("numcodecs", reason="needs zarr: pip install '.[zarr]'")
zarr = pytest.importorskip("zarr", reason="needs zarr: pip install '.[zarr]'")
from zarr_samples import STACK, stack, write_ome_zarr  # noqa: E402


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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


def test_without_zarr_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stack()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImageError) as caught, open_series(Path("in.zarr")):
        pass
    assert str(caught.value) == "in.zarr: OME-Zarr needs zarr: pip install '.[zarr]'"
