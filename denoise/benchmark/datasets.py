"""The clean images of a benchmark: a folder, the sample images, or a named set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray

from denoise.benchmark.protocol import sha256
from denoise.benchmark.registry import NAMED_SETS, download
from denoise.errors import ImageError, OptionError
from denoise.files.formats import INPUT_SUFFIXES
from denoise.files.images import read_image
from denoise.files.inputs import find_images, is_pattern


@dataclass(frozen=True)
class CleanImage:
    """A clean image: name in tables, pixels on 0..255, and SHA-256 of its file or pixels."""

    name: str
    pixels: NDArray[np.float32]
    sha256: str


def clean_images(name: str, *, limit: int | None = None) -> list[CleanImage]:
    """The images of "samples", a named set, a folder, a file or a pattern.

    Parameters
    ----------
    limit : at most this many, the first by name

    Raises
    ------
    ImageError
        If there are none, or they cannot be read or downloaded.
    """
    if name == "samples":
        return sample_images()[:limit]
    paths = _paths(name)[:limit]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):  # of several folders
        names = [path.as_posix() for path in paths]
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def sample_images() -> list[CleanImage]:
    """256×256 photographs without copyright that scikit-image brings along."""
    images = {
        "camera": halved(skimage.data.camera()),
        "astronaut": halved(skimage.data.astronaut()),
        "chelsea": skimage.data.chelsea()[10:266, 100:356],
    }
    whole = {name: np.rint(one).astype(np.uint8) for name, one in images.items()}
    return [
        CleanImage(name, one.astype(np.float32), sha256(one.tobytes()))
        for name, one in whole.items()
    ]


def halved(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Average blocks of 2×2 pixels, which also averages the photograph's own noise."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *image.shape[2:])
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3), dtype=np.float64)
    return means


def _paths(name: str) -> list[Path]:
    if name in NAMED_SETS and not Path(name).exists():
        return download(name)
    if not (Path(name).exists() or is_pattern(name)):
        known = ", ".join(("samples", *NAMED_SETS))
        raise OptionError(f"--images {name}: no such folder or set; the sets are {known}")
    sources, problems = find_images([name], INPUT_SUFFIXES, recursive=False)
    if problems:
        raise ImageError(_without_advice(problems[0]))
    return [source.path for source in sources]


def _read(path: Path, name: str) -> CleanImage:
    try:
        pixels = read_image(path).pixels
    except ImageError as error:
        raise ImageError(f"{_without_advice(str(error))}; leave it out") from None
    return CleanImage(name, pixels, sha256(path.read_bytes()))


def _without_advice(message: str) -> str:
    """What is wrong, without the options of the main command that would mend it."""
    return message.partition("; ")[0]
