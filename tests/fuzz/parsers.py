"""Coverage-guided fuzzing of the parsers of files: `make fuzz-parsers MINUTES=60`.

Whatever the bytes, a file is read or refused as an ImageError, within seconds; and what was read
can be written and read again without a change. Needs atheris (Apache licence), which is no
dependency of the tests: a crash that it finds becomes a test of its own.
"""

from __future__ import annotations

import io
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import atheris
import numpy as np
import tifffile
from PIL import Image

with atheris.instrument_imports(include=["denoise.files"]):
    from denoise.errors import ImageError
    from denoise.files import png
    from denoise.files.image_file import ImageFile
    from denoise.files.images import encode_image, read_image

MOST_PIXELS = 2**16
LONGEST = 2**14


def check(data: bytes) -> None:
    """Read, write and read again."""
    try:
        image = read_image(data, max_pixels=MOST_PIXELS)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    again = read_image(encode_image(image.pixels, image), max_pixels=MOST_PIXELS)
    if image.format != "JPEG":
        np.testing.assert_array_equal(again.pixels, image.pixels)
    else:
        assert again.pixels.shape == image.pixels.shape


def mutate(data: bytes, largest: int, seed: int) -> bytes:
    """A mutation whose checksums are right, if it is a PNG file."""
    changed: bytes = atheris.Mutate(data, largest)
    return _with_checksums(changed) if seed % 4 and png.is_png(changed) else changed


def _with_checksums(data: bytes) -> bytes:
    parts, place = [data[:8]], 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        checksum = zlib.crc32(kind + content)
        parts.append(struct.pack(">I", len(content)) + kind + content)
        parts.append(struct.pack(">I", checksum))
        place += 12 + length
    return b"".join(parts)


def seeds() -> Iterator[bytes]:
    """Small files of every format with all sorts of metadata."""
    generator = np.random.default_rng(0)
    gray, colour, alpha = (
        Image.fromarray(generator.integers(0, 256, shape, np.uint8))
        for shape in ((9, 7), (9, 7, 3), (9, 7, 4))
    )
    exif = Image.Exif()
    exif[274], exif[305] = 6, "camera"
    for format_ in ("PNG", "JPEG", "TIFF", "WebP", "BMP", "PPM"):
        for image in (gray, colour, alpha):
            buffer = io.BytesIO()
            try:
                image.save(buffer, format_, exif=exif, dpi=(72, 72), icc_profile=b"profile")
            except OSError:  # no room for alpha
                continue
            yield buffer.getvalue()
    for mode in ("1", "P"):
        for format_ in ("PNG", "TIFF", "BMP"):
            buffer = io.BytesIO()
            colour.convert(mode).save(buffer, format_)
            yield buffer.getvalue()
    for dtype in ("uint8", "int16", "uint16", "float32", "float64"):
        for arguments in (
            {},
            {"bigtiff": True, "byteorder": ">"},
            {"compression": "lzw", "predictor": dtype[0] in "ui"},
            {"tile": (16, 16)},
            {"imagej": True} if dtype == "uint16" else {"description": "text"},
        ):
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, generator.integers(0, 99, (9, 7)).astype(dtype), **arguments)
            yield buffer.getvalue()
    for head in (b"P5 7 9 255\n", b"P5 #c\n7 9 65535\n", b"P6 3 7 255\n", b"P4 7 9\n"):
        yield head + bytes(range(126))
    yield b"P2 3 2 9\n1 2 3 4 5 6\n"
    for dtype in ("uint8", "uint16", "float32"):
        pixels = generator.integers(0, 99, (9, 7)).astype(np.float32)
        like = ImageFile(Path("seed"), pixels, sample_type=dtype)
        yield from (encode_image(pixels, like, suffix) for suffix in (".npy", ".fits"))


def main() -> None:
    """Run libFuzzer; its own options come after the command's name."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()):
            (Path(folder) / f"{number:03}").write_bytes(data)
        options = [f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=3000"]
        atheris.Setup([*sys.argv, *options, folder], check, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
