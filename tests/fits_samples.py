"""FITS files, as astropy writes them."""

from __future__ import annotations

import io
import warnings

import numpy as np
from astropy.io import fits


def fits_bytes(*units: fits.PrimaryHDU) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(units)).writeto(buffer)
    return buffer.getvalue()


def sky(array: np.ndarray | None, unit: type = fits.PrimaryHDU) -> fits.PrimaryHDU:
    """An image with cards of all sorts."""
    hdu = unit(array)
    for name, value, comment in (
        ("OBJECT", "M31", "a galaxy's name"),
        ("DATE-OBS", "2026-01-02T03:04:05.6", "[UTC] start"),
        ("EXPTIME", 12.5, "[s]"),
        ("CTYPE1", "RA---TAN", ""),
        ("CTYPE2", "DEC--TAN", ""),
        ("CRVAL1", 10.684708, "[deg]"),
        ("CD1_1", -1.25e-4, ""),
        ("NOTHING", None, "no value"),
        ("LONG", "text that goes on " * 12, "in cards of CONTINUE"),
        ("HIERARCH ESO DET ID", 7, "a long name"),
    ):
        hdu.header[name] = (value, comment)
    hdu.header["HISTORY"] = "was taken, " * 20
    hdu.header["COMMENT"] = "/ '= "
    hdu.header.append(("", "a card without a name"), end=True)
    hdu.add_checksum()
    return hdu


def scaled(hdu: fits.PrimaryHDU) -> fits.PrimaryHDU:
    """The same numbers, which stand for others."""
    unit = type(hdu)(header=hdu.header, data=hdu.data, do_not_scale_image_data=True)
    unit.header["BZERO"], unit.header["BSCALE"] = 32768.0, 0.5
    unit.add_checksum()
    return unit


def table() -> fits.BinTableHDU:
    hdu = fits.BinTableHDU(np.zeros(3, [("a", "f4"), ("b", "i2")]), name="STARS")
    hdu.add_checksum()
    return hdu


def opened(data: bytes) -> fits.HDUList:
    """As astropy reads it, which finds nothing wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        units = fits.open(io.BytesIO(data), checksum=True, memmap=False)
        units.verify("exception")
        for unit in units:
            unit.data  # noqa: B018
    return units
