"""Small images of every kind for the tests of image files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from denoise.files.image_file import ImageFile, Metadata
from denoise.files.images import encode_image, read_image
from denoise.files.samples import join_alpha, quantised, to_pixels
from denoise.files.series import SeriesWriter, open_series, series_format


def random_samples(sample_type: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values over the whole range of an integer type; floats that float32 holds exactly."""
    generator = np.random.default_rng(seed)
    dtype = np.dtype(sample_type)
    if dtype.kind == "f":
        return generator.normal(0, 1000, shape).astype(np.float16).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def image_file(
    samples: np.ndarray,
    alpha: np.ndarray | None = None,
    *,
    format_: str = "PNG",
    metadata: Metadata | None = None,
) -> ImageFile:
    """Samples as if they had been read."""
    pixels = to_pixels(samples)
    metadata = metadata or Metadata()
    return ImageFile(Path("in"), pixels, alpha, samples.dtype.name, format_, metadata)


def stored(image: ImageFile) -> np.ndarray:
    """Samples and alpha as they are in the file."""
    return join_alpha(quantised(image.pixels, image.sample_type), image.alpha)


def pillow_bytes(image: Image.Image | np.ndarray, format_: str, **arguments: Any) -> bytes:
    """A file as Pillow writes it."""
    buffer = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(buffer, format_, **arguments)
    return buffer.getvalue()


def tiff_bytes(array: np.ndarray, **arguments: object) -> bytes:
    """A TIFF file as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **arguments)
    return buffer.getvalue()


def npy_bytes(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """A .npy file as NumPy writes it."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def rewritten(
    data: bytes, axes: str | None = None, *, suffix: str | None = None, strip: bool = False
) -> bytes:
    """A file read and written, image by image if it holds several."""
    with open_series(data, axes=axes) as series:
        if series is None:
            image = read_image(data)
            return encode_image(image.pixels, image, suffix, strip=strip)
        path = None if suffix is None else Path(f"out{suffix}")
        file = io.BytesIO()
        writer = SeriesWriter(
            file, series_format(path, series.read(0)), series.stored_axes, strip=strip
        )
        for number in range(len(series)):
            writer.write(series.read(number))
    return file.getvalue()
