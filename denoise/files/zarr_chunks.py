"""Finding chunks that break off and would be read without an error, as meaningless numbers.

Blosc trusts the length in a chunk's header, and an empty shard is taken for one that is left out.
Other damage is noticed when a chunk is decoded.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoise.errors import DamagedImageError

if TYPE_CHECKING:
    import zarr

# Where the header of Blosc has the length of the chunk.
LENGTH = slice(12, 16)


def check_chunks(folder: Path, level: zarr.Array[Any], index: tuple[int | slice, ...]) -> None:
    """Raise a DamagedImageError if one of the chunks for a part of an array breaks off.

    Parameters
    ----------
    folder : of the group that the array is in
    index : a place or a slice, for each axis
    """
    has_length = level.shards is None and _is_blosc(level)
    places = [
        _chunks_of(one, length, size)
        for one, length, size in zip(index, level.shape, level.shards or level.chunks, strict=True)
    ]
    for place in itertools.product(*places):
        key = level.metadata.encode_chunk_key(place)
        path = folder / level.path / key
        with suppress(FileNotFoundError), path.open("rb") as file:  # one that is left out is empty
            header, found = file.read(LENGTH.stop), path.stat().st_size
            declared = int.from_bytes(header[LENGTH], "little") if has_length else found
            if not found or found != declared:
                raise DamagedImageError(
                    f"damaged OME-Zarr image: {level.path}/{key} breaks off after {found} bytes"
                )


def _chunks_of(part: int | slice, length: int, size: int) -> range:
    """The numbers of the chunks of `size` along an axis that a part of it lies in."""
    start, stop, _ = (
        slice(part, part + 1).indices(length) if isinstance(part, int) else part.indices(length)
    )
    return range(start // size, -(-stop // size))


def _is_blosc(level: zarr.Array[Any]) -> bool:
    import numcodecs
    from zarr.codecs import BloscCodec

    last = level.compressors[-1:]
    return bool(last) and isinstance(last[0], BloscCodec | numcodecs.Blosc)
