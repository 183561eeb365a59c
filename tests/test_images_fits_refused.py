"""FITS files of other kinds, and damaged ones: one line that says why."""

from __future__ import annotations

import numpy as np
import pytest
from image_samples import random_samples

from denoise.errors import DamagedImageError, ImageError
from denoise.files.images import read_image

astropy = pytest.importorskip("astropy", reason="needs astropy: pip install astropy")
from astropy.io import fits  # noqa: E402
from fits_samples import fits_bytes, opened, sky, table  # noqa: E402


def changed(name: str, value: str, array: np.ndarray | None = None) -> bytes:
    """A file of which a card says something else."""
    data = bytearray(fits_bytes(fits.PrimaryHDU(np.zeros((4, 5)) if array is None else array)))
    place = data.index(f"{name:<8}= ".encode())
    data[place : place + 80] = f"{name:<8}= {value:>20}".encode().ljust(80)
    return bytes(data)


def compressed() -> bytes:
    image = fits.CompImageHDU(np.zeros((40, 50), np.int16), compression_type="RICE_1")
    return fits_bytes(fits.PrimaryHDU(), image, fits.ImageHDU(np.zeros((4, 5))))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (compressed(), "is a compressed image in a table; unpack it first, as with funpack"),
        (fits_bytes(fits.PrimaryHDU(), table()), "holds no image"),
        (fits_bytes(fits.PrimaryHDU(np.zeros((4, 5), np.int32))), "32-bit type int32 cannot be"),
        (fits_bytes(fits.PrimaryHDU(np.zeros((4, 5), np.uint32))), "32-bit type int32 cannot be"),
        (fits_bytes(fits.PrimaryHDU(np.zeros((4, 5), np.int64))), "64-bit type int64 cannot be"),
        (fits_bytes(fits.PrimaryHDU(np.zeros(5))), "is an array of 1 axes; 2 to 7 can be read"),
        (fits_bytes(fits.PrimaryHDU(np.zeros((200, 300), "u1"))), "300x200 is more than 50000"),
    ],
    ids=range(7),
)
def test_files_of_other_kinds_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(data, max_pixels=50_000)
    assert not isinstance(caught.value, DamagedImageError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed("BITPIX", "17"), "its numbers have 17 bits"),
        (changed("BITPIX", "'x'"), "no number BITPIX in its header"),
        (changed("NAXIS", "2.5"), r"NAXIS is 2\.5, no whole number"),
        (changed("NAXIS", "1000"), "it has 1000 axes"),
        (changed("NAXIS", "3"), "no number NAXIS3 in its header"),
        (changed("NAXIS1", "-5"), r"its size is \(4, -5\)"),
        (changed("NAXIS1", "1E999"), "NAXIS1 is inf, no whole number"),
        (changed("NAXIS2", "1E30"), "truncated image file: 5760 of"),
        (changed("NAXIS2", "1..2"), "damaged FITS file"),
        (b"SIMPLE  = ".ljust(2880) + bytes(10**6), "truncated image file: a header has no end"),
    ],
    ids=range(10),
)
def test_headers_that_lie_are_refused_before_anything_is_read(data: bytes, message: str) -> None:
    with pytest.raises(DamagedImageError, match=message) as caught:
        read_image(data)
    assert "\n" not in str(caught.value)


def test_a_file_that_breaks_off_anywhere_is_refused() -> None:
    data = fits_bytes(sky(None), sky(random_samples("int16", (3, 4, 5)), fits.ImageHDU), table())
    units = [unit.fileinfo()["hdrLoc"] for unit in opened(data)]
    for end in {*range(0, len(data), 41), *range(len(data) - 40, len(data))} - set(units):
        with pytest.raises(ImageError):
            read_image(data[:end], frame=1)
    assert read_image(data, frame=1).frames == 3
