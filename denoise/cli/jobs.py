"""The files of one job, what can be checked before the work begins, and the job under way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from denoise.cli.settings import Settings
from denoise.cli.shards import Shard
from denoise.errors import ModelFileError, OutputError
from denoise.files.bytes import is_zarr
from denoise.files.formats import IMAGE_SUFFIXES, RESULT_SUFFIXES
from denoise.files.images import check_readable
from denoise.files.outputs import check_output
from denoise.pipeline.results import Progress

# Types of files for measurements; formats for floats hold the values themselves.
_VALUES = tuple(dict.fromkeys((".npy", *IMAGE_SUFFIXES)))
# The files about an image besides the result, and their types; in a folder, they have the first.
EXTRAS = {
    "figure": IMAGE_SUFFIXES,
    "curve": (".csv", ".png"),
    "residual": _VALUES,
    "uncertainty": _VALUES,
    "save_model": (".npz",),
    "show_model": IMAGE_SUFFIXES,
    "report": (".html",),
}


@dataclass(frozen=True)
class FileJob:
    """The files of one run.

    Attributes
    ----------
    image : what to denoise; None is standard input
    output : where to write the result; None is standard output
    reference : clean image of the same size, to measure PSNR and SSIM
    figure : also write a picture of noisy, denoised, reference and difference
    curve : also write the ELBO of every epoch, as .csv or as a picture
    residual : also write what was removed; formats for floats (.npy, .tif, .fits) hold it in the
        units of sigma, others a picture of it
    uncertainty : also write the posterior standard deviation of every pixel, likewise; in pictures,
        white is the largest
    mask : image of the same size, which marks pixels that are to be filled in
    load_model : use the models in this file instead of learning
    save_model : also write the models
    show_model : also draw the models
    report : also write a page about the image and its result
    shard : do this part of the images of a file of several; None is all of them
    """

    image: Path | None
    output: Path | None
    reference: Path | None = None
    figure: Path | None = None
    curve: Path | None = None
    residual: Path | None = None
    uncertainty: Path | None = None
    mask: Path | None = None
    load_model: Path | None = None
    save_model: Path | None = None
    show_model: Path | None = None
    report: Path | None = None
    shard: Shard | None = None

    @property
    def input_name(self) -> str:
        """The name of the input in messages and reports."""
        return "stdin" if self.image is None else str(self.image)

    @property
    def output_name(self) -> str:
        """The name of the result in messages and reports."""
        return "stdout" if self.output is None else str(self.output)

    @property
    def extras(self) -> tuple[Path, ...]:
        """All files that are written besides the image."""
        return tuple(path for name in EXTRAS if (path := getattr(self, name)) is not None)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written."""
        return self.extras if self.output is None else (self.output, *self.extras)

    def without_extras(self, paths: Collection[Path]) -> FileJob:
        """This job without some of the files besides the image."""
        return replace(self, **{name: None for name in EXTRAS if getattr(self, name) in paths})

    def absolute(self) -> FileJob:
        """This job for a process in another folder."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        paths: dict[str, Any] = {
            name: value.absolute() for name, value in values if isinstance(value, Path)
        }
        return replace(self, **paths)

    @property
    def in_place(self) -> bool:
        """Whether the result replaces the input."""
        if self.image is None or self.output is None:
            return False
        return os.path.realpath(self.image) == os.path.realpath(self.output)

    def check(self, settings: Settings) -> None:
        """Find out at little cost what is bound to fail; once, before any job begins.

        Raises
        ------
        ImageError, ModelFileError
            If an input is not there, may not be read, or is no image.
        OutputError
            If a file cannot be written.
        """
        for path in (self.image, self.reference, self.mask):
            if path is not None:
                check_readable(path)
        if self.output is None and self.image is not None and is_zarr(self.image):
            raise OutputError(f"{self.image}: is a folder, and so is its result; name it with -o")
        if self.load_model is not None and not os.path.exists(self.load_model):
            raise ModelFileError(f"{self.load_model}: no such file")
        if self.in_place and settings.skip_existing:
            raise OutputError(f"{self.output}: is the input; --skip-existing needs another output")
        if self.in_place and settings.frame is not None:
            raise OutputError(f"{self.output}: one frame would replace all; write another file")
        outputs = {"output": RESULT_SUFFIXES, **EXTRAS}
        for name, suffixes in outputs.items():
            path = getattr(self, name)
            if path is not None:
                check_output(path, suffixes, overwrite=settings.may_replace)


@dataclass(frozen=True)
class ActiveJob:
    """A job that is being done.

    Attributes
    ----------
    kept : files that are there and whole, and stay as they are
    on_progress : called with the progress of the method
    started : when the time of the job began, by `time.perf_counter`
    """

    job: FileJob
    settings: Settings
    kept: frozenset[Path] = frozenset()
    on_progress: Callable[[Progress], None] = lambda progress: None
    started: float = field(default_factory=time.perf_counter)

    @property
    def name(self) -> str:
        """The name of the input in messages."""
        return self.job.input_name

    @property
    def missing(self) -> FileJob:
        """The job without those files besides the image that are kept."""
        return self.job.without_extras(self.kept)

    @property
    def seconds(self) -> float:
        """The time that it has taken so far."""
        return time.perf_counter() - self.started
