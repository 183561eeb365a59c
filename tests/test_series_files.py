"""Files of several images: what goes in comes out, as tifffile sees it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from image_samples import random_samples, stored, tiff_bytes

from denoise.errors import DamagedImageError, ImageError, OutputError
from denoise.files import tiff_pages, tiff_writer
from denoise.files.axes import described_axes, fitting_axes, named_axes
from denoise.files.images import read_image
from denoise.files.rows import open_rows
from denoise.files.series import SeriesWriter, open_series, series_format

# How tifffile writes stacks, and the axes that are found in them.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "ImageJ": ({"imagej": True, "metadata": {"axes": "TZCYX", "unit": "um"}}, "TZC"),
    "OME": ({"ome": True, "metadata": {"axes": "TZCYX", "PhysicalSizeX": 0.25}}, "TZC"),
    "tifffile": ({"photometric": "minisblack"}, "IJK"),
    "pages": ({"photometric": "minisblack", "metadata": None}, "I"),
}


STACK = tiff_bytes(random_samples("uint8", (2, 4, 4)), photometric="minisblack")


def copied(data: bytes | Path, **options: Any) -> bytes:
    """A file written from all images of another one, as they are."""
    file = io.BytesIO()
    with open_series(data, **options) as series:
        assert series is not None
        writer = SeriesWriter(
            file, series_format(None, series.like), series.stored_axes, strip=False
        )
        for number in range(len(series)):
            writer.write(series.read(number))
    return file.getvalue()


def tags(page: tifffile.TiffPage) -> dict[int, object]:
    """All tags that are not about storage."""
    return {tag.code: tag.value for tag in page.tags if tag.code not in tiff_writer.STORAGE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample_type", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("big", [False, True])
def test_a_stack_comes_out_as_it_went_in(kind: str, sample_type: str, big: bool) -> None:
    arguments, axes = KINDS[kind]
    if kind == "ImageJ" and (big or sample_type == "int16"):
        pytest.skip("ImageJ has no such files")
    samples = random_samples(sample_type, (3, 2, 2, 20, 24))
    data = tiff_bytes(samples, resolution=(300.5, 200), software="lab", bigtiff=big, **arguments)
    with open_series(data) as series:
        assert series is not None
        assert "".join(name for name, _ in series.axes) == axes
        assert len(series) == 12
        assert [series.channel_of(number) for number in range(4)] == (
            [0, 1, 0, 1] if "C" in axes else [0, 0, 0, 0]
        )
    with (
        tifffile.TiffFile(io.BytesIO(data)) as before,
        tifffile.TiffFile(io.BytesIO(copied(data))) as after,
    ):
        assert after.series[0].axes == before.series[0].axes
        np.testing.assert_array_equal(after.series[0].asarray(), before.series[0].asarray())
        for first, second in zip(before.pages, after.pages, strict=True):
            assert tags(second.aspage()) == tags(first.aspage())
        assert after.byteorder == before.byteorder


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("shape", [(3, 4, 6, 3), (3, 4, 6, 4)])
def test_colours_and_alpha_of_all_images_stay(shape: tuple[int, ...], compression: str) -> None:
    samples = random_samples("uint8", shape)
    samples[..., 3:] |= 1  # nothing is transparent
    data = tiff_bytes(samples, photometric="rgb", compression=compression, metadata=None)
    with open_series(data) as series:
        assert series is not None
        assert (series.axes, series.channels) == ((("I", 3),), 1)
    with tifffile.TiffFile(io.BytesIO(copied(data))) as after:
        np.testing.assert_array_equal(np.stack([page.asarray() for page in after.pages]), samples)
        assert {page.compression.name for page in after.pages} == {
            {None: "NONE", "zlib": "ADOBE_DEFLATE", "lzw": "LZW"}[compression]
        }


@pytest.mark.parametrize("imagej", [True, False])
def test_a_stack_in_one_piece_gets_a_directory_for_each_image(imagej: bool) -> None:
    samples = random_samples("uint16", (4, 20, 24))
    axes = {"axes": "ZYX"}
    data = tiff_bytes(
        samples, imagej=imagej, truncate=True, metadata=axes, photometric="minisblack"
    )
    with tifffile.TiffFile(io.BytesIO(data)) as before:
        assert len(before.pages) == 1
    with tifffile.TiffFile(io.BytesIO(copied(data))) as after:
        assert (len(after.pages), after.series[0].axes) == (4, "ZYX")
        np.testing.assert_array_equal(after.asarray(), samples)


def test_more_than_4_gib_become_a_bigtiff_file(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = random_samples("uint8", (3, 30, 30))
    data = tiff_bytes(samples, byteorder=">", photometric="minisblack", description="three")
    for largest, big in ((samples.nbytes, False), (samples.nbytes - 1, True)):
        monkeypatch.setattr(tiff_writer, "LARGEST_FILE", largest)
        with tifffile.TiffFile(io.BytesIO(copied(data))) as after:
            assert (after.is_bigtiff, after.byteorder) == (big, ">")
            np.testing.assert_array_equal(after.asarray(), samples)
            texts = [tag.value for tag in after.pages.first.tags if tag.code == 270]
            assert texts == ["three", '{"shape": [3, 30, 30]}']


def test_one_image_is_no_series_and_other_formats_hold_none(tmp_path: Path) -> None:
    for array in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8)):
        with open_series(tiff_bytes(array)) as series:
            assert series is None
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 2 2 255\nabcd")
    with open_series(path) as series:
        assert series is None
    with (
        pytest.raises(ImageError, match=r"a\.pgm: PNM holds one image, which has no axes"),
        open_series(path, axes="TYX"),
    ):
        pass


def test_axes_are_named_by_the_user_or_else_by_the_file() -> None:
    samples = random_samples("uint8", (2, 3, 4, 5))
    data = tiff_bytes(samples, photometric="minisblack")
    with open_series(data, axes="CTYX") as series:
        assert series is not None
        assert series.axes == (("C", 2), ("T", 3))
        assert [series.channel_of(number) for number in range(6)] == [0, 0, 0, 1, 1, 1]
    assert named_axes("zc", (4, 2)) == (("Z", 4), ("C", 2))
    assert named_axes("TYXS", (4,)) == (("T", 4),)
    for wrong in ("TZCYX", "YX", "TTYX", "TXYX"):
        with pytest.raises(ImageError, match="do not fit: it holds 2x3 images, one"):
            named_axes(wrong, (2, 3))
    # OME counts the samples of a colour pixel; a description may be wrong altogether.
    assert fitting_axes((("T", 5), ("C", 3)), 5) == (("T", 5),)
    assert fitting_axes((("T", 5), ("C", 3)), 7) == (("I", 7),)


def ome_set(folder: Path, samples: np.ndarray) -> list[Path]:
    """An OME-TIFF image with a file for each time, of which every one describes all."""
    names = [f"t{time}.ome.tif" for time in range(len(samples))]
    places = "".join(
        f'<TiffData FirstT="{time}" FirstZ="{z}" IFD="{z}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{time}</UUID></TiffData>'
        for time, name in enumerate(names)
        for z in range(samples.shape[1])
    )
    times, depth, height, width = samples.shape
    for time, name in enumerate(names):
        description = (
            f'<OME UUID="urn:uuid:{time}"><Image><Pixels DimensionOrder="XYZTC" Type="uint16"'
            f' SizeT="{times}" SizeZ="{depth}" SizeC="1" SizeY="{height}" SizeX="{width}">'
            f"{places}</Pixels></Image></OME>"
        )
        options = {"description": description, "metadata": None, "photometric": "minisblack"}
        tifffile.imwrite(folder / name, samples[time], **options)
    return [folder / name for name in names]


def test_a_file_of_an_ome_set_is_read_alone_and_says_so(tmp_path: Path) -> None:
    samples, out = random_samples("uint16", (3, 2, 8, 9)), tmp_path / "out"
    out.mkdir()
    for time, path in enumerate(ome_set(tmp_path, samples)):
        with open_series(path) as series:
            assert series is not None
            assert (len(series), series.axes) == (2, (("I", 2),))
            assert series.like.notes == (tiff_pages.OF_SEVERAL_FILES,)
        with open_rows(path, frame=2) as image:
            assert image.like.notes == (tiff_pages.OF_SEVERAL_FILES,)
            np.testing.assert_array_equal(stored(image.rows(0, 8)), samples[time, 1])
        (out / path.name).write_bytes(copied(path))
    # Beside each other, what is written belongs together as before.
    np.testing.assert_array_equal(tifffile.imread(out / "t0.ome.tif"), samples)
    [alone, _] = ome_set(tmp_path, samples[:2, :1])
    assert read_image(alone).axes == ()
    description = "<OME><BinaryOnly MetadataFile='a.companion.ome'/></OME>"
    companion = tiff_bytes(samples[0, 0], description=description, metadata=None)
    assert read_image(companion, frame=1).notes == (tiff_pages.OF_SEVERAL_FILES,)
    one = tiff_bytes(samples[0], ome=True)
    assert read_image(one, frame=1).notes == ()


def test_images_of_other_sizes_or_types_are_no_series() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for shape in ((4, 5), (4, 5), (5, 4)):
            writer.write(np.zeros(shape, np.uint8), metadata=None)
    with open_series(file.getvalue(), name="scan.tif") as series:
        assert series is not None
        series.read(1)
        with pytest.raises(
            ImageError,
            match=r"^scan\.tif: image 3 of 3 is 4x5 gray, and the first one 5x4 gray; choose one",
        ):
            series.read(2)


def test_damaged_images_are_named(tmp_path: Path) -> None:
    samples = random_samples("uint8", (5, 64, 64))
    path = tmp_path / "stack.tif"
    for big in (False, True):
        data = bytearray(tiff_bytes(samples, compression="zlib", bigtiff=big, metadata=None))
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            start = file.pages[3].dataoffsets[0]  # type: ignore[union-attr]
        data[start : start + 40] = bytes(40)
        path.write_bytes(data)
        with open_series(path) as series:
            assert series is not None
            series.read(2)
            with pytest.raises(DamagedImageError, match=r"stack\.tif: image 4 of 5: damaged TIFF"):
                series.read(3)
            series.read(4)
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match=r"stack\.tif: "), open_series(path):
            pass


def test_formats_that_hold_one_image_are_refused() -> None:
    with open_series(STACK) as series:
        assert series is not None
        with pytest.raises(OutputError, match=r"x\.png: PNG holds one image; use \.tif"):
            series_format(Path("x.png"), series.like)


@pytest.mark.parametrize(
    ("description", "axes"),
    [
        (b"ImageJ=1.53t\nimages=30\nchannels=2\nslices=3\nframes=5\n", "T5 Z3 C2"),
        (b"ImageJ=1.53t\r\nimages=3\r\nslices=3\r\n", "Z3"),
        (b'<OME><Pixels DimensionOrder="XYZCT" SizeX="9" SizeZ="3" SizeC="1" SizeT="5"/>', "T5 Z3"),
        (b"<ome:Pixels SizeC='2' SizeZ='4' DimensionOrder='XYCZT'>", "Z4 C2"),
        (b'<Pixels DimensionOrder="XYZCT" SizeZ="three" SizeT="-5">', ""),
        (b"a photo of frames=5", ""),
        (b"", ""),
    ],
)
def test_axes_are_read_from_descriptions(description: bytes, axes: str) -> None:
    assert " ".join(f"{name}{size}" for name, size in described_axes(description)) == axes
