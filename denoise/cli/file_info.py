"""What an image file is, what noise it has, and what a run on it would take."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from denoise import __version__
from denoise.cli.file_noise import Observed, observe, scale_of, units_of
from denoise.cli.mask import with_missing
from denoise.cli.report import noise_fields
from denoise.cli.settings import Settings
from denoise.devices import describe_device, pick_device
from denoise.errors import ImageError, OptionError, TrainingError
from denoise.files import ifd, png
from denoise.files.formats import BY_NAME
from denoise.files.image_file import COLOUR_NAMES, ImageFile, Metadata
from denoise.files.images import read_image
from denoise.files.samples import PEAK, quantised
from denoise.files.series import CHANNEL
from denoise.noise.gaussian import GaussianNoise
from denoise.pipeline.forecast import Forecast, forecast
from denoise.presets import DEFAULT_PRESET, PresetName


@dataclass(frozen=True)
class FileInfo:
    """What is known of an image before it is denoised.

    Attributes
    ----------
    image : as it was read
    frame : its number in the file, from 1
    device : that the times are for
    seen : the image as it would be denoised, with its noise; None if that cannot be found
    forecasts : of each preset; empty if there is nothing to do, or a problem
    problem : why the image cannot be denoised like this; None if it can
    images : how many would be denoised, which the times are for
    """

    image: ImageFile
    frame: int
    device: str
    seen: Observed | None
    forecasts: dict[PresetName, Forecast]
    problem: str | None
    images: int

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest value of the picture, as they are in the file."""
        values = self.image.pixels[self.image.picture]
        values = quantised(values[np.isfinite(values)], self.image.sample_type)
        return (values.min().item(), values.max().item()) if values.size else None

    @property
    def missing(self) -> int:
        """Number of pixels that are not finite."""
        found = self.image.find_non_finite()
        return 0 if found is None else found.count

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: of how the file was read, and of the noise."""
        return self.image.notes + (() if self.seen is None else self.seen.notes)

    @property
    def is_series(self) -> bool:
        """Whether all images of the file can be denoised together."""
        return is_series(self.image)

    def lines(self, command: str | None) -> list[tuple[str, str]]:
        """Names and values for people.

        Parameters
        ----------
        command : to be run, if there is one
        """
        image = self.image
        lines = [("format", self._format_text())]
        if image.void is not None:
            share = f"{image.void.mean():.2%} of the pixels: transparent, or without data"
            lines.append(("no picture", share))
        if self.missing:
            lines.append(("missing", f"{self.missing} pixels are NaN or infinite"))
        if image.frames > 1:
            axes = "".join(f", {name} {length}" for name, length in image.axes)
            lines.append(("frames", f"{image.frames}{axes}; the rest is about frame {self.frame}"))
        lines.append(("metadata", ", ".join(_kept(image.metadata)) or "none"))
        lines.append(("noise", self._noise_text()))
        lines += [("note", note) for note in self.notes]
        if self.seen is not None and self.problem is not None:
            lines.append(("problem", self.problem))
        for name, expected in self.forecasts.items():
            lines.append((name, _expected_text(name, expected)))
        if self.forecasts:
            count = "one image" if self.images == 1 else f"all {self.images} images"
            what = f"for {count}, " * (image.frames > 1) + "without start-up"
            lines.append(("device", f"{self.device}, as busy as now; times are {what}"))
        return lines if command is None else [*lines, ("run", command)]

    def fields(self, command: str | None) -> dict[str, Any]:
        """Names and values for programs; what does not apply is None."""
        image, seen = self.image, self.seen
        height, width = image.pixels.shape[:2]
        return {
            "input": str(image.path),
            "format": image.format,
            "width": width,
            "height": height,
            "channels": image.channels,
            "dtype": image.sample_type,
            "range": self.limits,
            "alpha": image.alpha is not None,
            "no_picture": 1 - float(image.picture.mean()),
            "missing": self.missing,
            "frames": image.frames,
            "frame": self.frame,
            "images": self.images,
            "axes": dict(image.axes),
            "metadata": _kept(image.metadata),
            "orientation": ifd.orientation(image.metadata.exif),
            **noise_fields(None if seen is None else seen.noise, known=seen is not None),
            "outliers": None if seen is None else seen.outliers,
            "notes": self.notes,
            "problem": self.problem,
            "device": self.device,
            "presets": {name: asdict(one) for name, one in self.forecasts.items()},
            "command": command,
            "version": __version__,
        }

    def _format_text(self) -> str:
        image, limits = self.image, self.limits
        height, width = image.pixels.shape[:2]
        parts = [image.format, f"{width}x{height} {COLOUR_NAMES[image.channels]}"]
        parts += [image.sample_type] + ["alpha"] * (image.alpha is not None)
        parts.append("no value" if limits is None else "{:.6g} to {:.6g}".format(*limits))
        return ", ".join(parts)

    def _noise_text(self) -> str:
        if self.seen is None:
            return f"not measured: {self.problem}"
        if self.seen.noise is None:
            return "none found"
        return f"{self.seen.noise.summary(scale_of(self.image))} (estimated)"


def inspect_file(
    path: Path, *, frame: int | None, axes: str | None, max_pixels: int | None, device: str
) -> FileInfo:
    """Read an image, measure its noise as a run would, and expect what runs would take.

    Parameters
    ----------
    frame : of several, from 1; None for the first one
    axes : of the file, by the user; see `open_series`

    Raises
    ------
    ImageError
        If the image cannot be read.
    DeviceError
        If there is no such device.
    """
    compute_device = describe_device(pick_device(device))
    started = time.perf_counter()
    image = read_image(path, frame=frame or 1, axes=axes, max_pixels=max_pixels)
    reading = time.perf_counter() - started
    images = image.frames if frame is None and is_series(image) else 1
    seen, forecasts, problem = None, {}, None
    try:
        whole = with_missing(image, None, fill=image.find_non_finite() is not None)
        seen = observe(whole, Settings())
        seconds = time.perf_counter() - started
        if images > 1:  # in all others, noise is not measured
            given = Settings(noise=(seen.noise or GaussianNoise(0.0), units_of(image)))
            started = time.perf_counter()
            observe(whole, given)
            seconds += (images - 1) * (reading + time.perf_counter() - started)
        if seen.to_remove is not None:
            data_range = None if image.is_float else PEAK
            forecasts = {
                name: replace(one, seconds=one.seconds + seconds)
                for name, one in forecast(
                    seen.image.pixels,
                    seen.to_remove,
                    data_range=data_range,
                    device=device,
                    images=images,
                    channels=dict(image.axes).get(CHANNEL, 1) if images > 1 else 1,
                ).items()
            }
    except (ImageError, OptionError, TrainingError) as error:
        problem = str(error).removeprefix(f"{path}: ")
    return FileInfo(image, frame or 1, compute_device, seen, forecasts, problem, images)


def is_series(image: ImageFile) -> bool:
    """Whether all images of the file that an image is from can be denoised together."""
    return image.frames > 1 and BY_NAME[image.format].open_pages is not None


def _kept(metadata: Metadata) -> tuple[str, ...]:
    """What a result in the same format keeps."""
    tags, cards = metadata.tiff.tags, metadata.fits.cards
    turned = ifd.orientation(metadata.exif)
    across, down = metadata.dpi or (0.0, 0.0)
    parts = {
        "EXIF": any(tag.children for tag in tags) if tags else bool(metadata.exif),
        "colour profile": bool(metadata.icc_profile),
        "XMP": bool(metadata.xmp),
        f"{across:.0f} dpi" if across == down else f"{across:.0f}x{down:.0f} dpi": across > 0,
        "text": bool(metadata.text),
        "gamma": png.has_gamma(metadata.png_chunks),
        f"{len(tags)} TIFF tags": bool(tags),
        f"{len(cards)} FITS cards": bool(cards),
        "attributes of OME-Zarr": metadata.zarr.folder is not None,
        f"orientation {turned}": turned > 1,
    }
    return tuple(name for name, there in parts.items() if there)


def _expected_text(name: PresetName, expected: Forecast) -> str:
    """The cost of a preset in words, such as "about 8 s, 0.5 GB (default)"."""
    seconds = expected.seconds
    units = ((5400.0, 3600.0, "h"), (90.0, 60.0, "min"), (1.0, 1.0, "s"))
    unit = next((one for one in units if seconds >= one[0]), None)
    text = "under 1 s" if unit is None else f"about {seconds / unit[1]:.0f} {unit[2]}"
    if expected.gigabytes is not None:
        text += f", {expected.gigabytes:.1f} GB"
    return text + " (default)" * (name == DEFAULT_PRESET)
