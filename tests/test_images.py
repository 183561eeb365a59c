"""Image files: what goes in comes out, and nothing is ever half-written or lost."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoise.errors import ImageError, OutputError
from denoise.images import IMAGE_SUFFIXES, read_image, to_8bit, write_image
from denoise.outputs import check_output


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def save(path: Path, array: np.ndarray, **arguments: object) -> Path:
    Image.fromarray(array).save(path, **arguments)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3), (1, 1)])
def test_lossless_formats_round_trip(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    array = pixels(*shape)
    image = read_image(save(tmp_path / f"in{suffix}", array))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels, array)
    write_image(tmp_path / f"out{suffix}", image.pixels, overwrite=False)
    assert np.array_equal(read_image(tmp_path / f"out{suffix}").pixels, array)


@pytest.mark.parametrize("shape", [(32, 48), (32, 48, 3)])
def test_jpeg_round_trip_is_close(tmp_path: Path, shape: tuple[int, ...]) -> None:
    smooth = np.add.outer(np.arange(32.0), np.arange(48.0)) * 2
    array = np.broadcast_to(smooth.reshape(32, 48, *[1] * (len(shape) - 2)), shape)
    write_image(tmp_path / "out.jpg", array, overwrite=False)
    image = read_image(tmp_path / "out.jpg")
    assert image.pixels.shape == shape
    assert np.abs(image.pixels - array).max() < 6


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_resolution_profile_and_exif_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[271] = "a camera"
    arguments: dict[str, object] = {"dpi": (300, 300), "icc_profile": b"a profile" * 20}
    if suffix != ".tif":
        arguments["exif"] = exif.tobytes()
    source = save(tmp_path / f"in{suffix}", pixels(16, 16), **arguments)
    image = read_image(source)
    write_image(tmp_path / f"out{suffix}", image.pixels, metadata=image.metadata, overwrite=False)
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert written.info["icc_profile"] == b"a profile" * 20
        if suffix != ".tif":
            assert written.getexif()[271] == "a camera"


def test_values_are_rounded_and_clipped_not_wrapped() -> None:
    assert to_8bit([-3.2, 0.4, 0.6, 254.6, 256.4, 1e9]).tolist() == [0, 0, 1, 255, 255, 255]


def save_16bit_rgb(path: Path) -> None:
    """A 1×1 RGB PNG of depth 16, which Pillow can read but not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + b"\x12\x34" * 3)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def bad_file(path: Path, kind: str) -> None:
    good = path.with_name("good.png")
    save(good, pixels(64, 64))
    match kind:
        case "missing":
            return
        case "empty":
            path.touch()
        case "text":
            path.write_text("not an image")
        case "folder":
            path.mkdir()
        case "truncated":
            path.write_bytes(good.read_bytes()[:-800])
        case "damaged":
            data = bytearray(good.read_bytes())
            data[60:90] = bytes(30)
            path.write_bytes(data)
        case "16 bit gray":
            Image.fromarray(pixels(8, 8).astype(np.uint16)).save(path)
        case "16 bit RGB":
            save_16bit_rgb(path)
        case "alpha":
            save(path, pixels(8, 8, 4))
        case "palette":
            Image.fromarray(pixels(8, 8)).convert("P").save(path)
        case "transparent":
            save(path, pixels(8, 8), transparency=0)
        case "animated":
            frames = [Image.fromarray(pixels(8, 8) + n) for n in range(2)]
            frames[0].save(path, save_all=True, append_images=frames[1:])
        case "huge":
            data = bytearray(good.read_bytes())
            data[16:24] = (60_000).to_bytes(4, "big") * 2
            import zlib

            data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
            path.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("empty", "not an image; expected JPEG, PNG, TIFF"),
        ("text", "not an image"),
        ("folder", "cannot be read: Is a directory"),
        ("truncated", "truncated"),
        ("damaged", ""),
        ("16 bit gray", "'I;16'; only 8-bit gray and RGB"),
        ("16 bit RGB", "more than 8 bits per channel"),
        ("alpha", "'RGBA'"),
        ("palette", "'P'"),
        ("transparent", "'L' with transparency"),
        ("animated", "holds several images"),
        ("huge", "cut it into smaller images"),
    ],
)
def test_unusable_files_are_refused_by_name(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "input file ü.png"
    bad_file(path, kind)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_existing_files_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists already; use --overwrite"):
        write_image(path, pixels(4, 4), overwrite=False)
    assert path.read_bytes() == before
    path.chmod(0o640)
    write_image(path, pixels(4, 4), overwrite=True)
    assert read_image(path).pixels.shape == (4, 4)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    write_image(tmp_path / "out.png", pixels(4, 4), overwrite=False)
    (tmp_path / "plain").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("out.png", "plain")]
    assert modes[0] == modes[1]


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    target = save(tmp_path / "target.png", pixels(8, 8))
    link = tmp_path / "link.png"
    link.symlink_to(target)
    write_image(link, pixels(4, 4), overwrite=True)
    assert link.is_symlink()
    assert read_image(target).pixels.shape == (4, 4)


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = save(tmp_path / "out.png", pixels(8, 8))
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match=r"out\.png: cannot be written: No space left on device"):
        write_image(path, pixels(4, 4), overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


def test_metadata_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    metadata = {"exif": b"Exif\0\0" + bytes(70_000)}
    with pytest.raises(ImageError, match=r"out\.jpg: cannot be saved as JPEG: EXIF data is too"):
        write_image(tmp_path / "out.jpg", pixels(8, 8), metadata=metadata, overwrite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/folder/out.png", "cannot be written: No such file or directory"),
        ("out.xyz", "unknown file type '.xyz'; use one of .png"),
        ("out", "unknown file type ''"),
        ("folder.png", "is a folder"),
    ],
)
def test_outputs_that_cannot_be_are_refused_early(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=message):
        check_output(tmp_path / name, IMAGE_SUFFIXES, overwrite=True)
