"""A series that several machines denoise: each done image in a file, until all are there.

The files lie in a folder beside the result, with a plan: what all machines have to agree on. Any of
them may do any images, in any order, be killed and go on; whichever finds all images done writes
the result.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from denoise import __version__
from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.report import FileReport
from denoise.cli.series_model import ChannelModel
from denoise.cli.shards import Shard
from denoise.devices import pick_device
from denoise.errors import ImageError, OutputError
from denoise.files.bytes import fingerprint
from denoise.files.formats import BY_NAME
from denoise.files.image_file import ImageFile
from denoise.files.outputs import atomic_file, temporary_name, write_atomically
from denoise.files.rows import open_rows
from denoise.files.series import Series, SeriesWriter, count_images
from denoise.vae.saved import digest

PLAN = "plan.json"
# Settings that change no image.
NO_MATTER = {"overwrite", "skip_existing", "max_pixels", "device", "frame"}


def shared_out(job: FileJob, count: int) -> list[FileJob]:
    """A job in at most `count` parts, if its file holds several images that can be done apart.

    Returns
    -------
    jobs, one for each part; empty if it cannot be shared out
    """
    images = count_images(job.image)
    alone = job.shard is None and not job.extras and job.reference is None
    if not alone or images == 1 or job.output is None:
        return []
    parts = min(count, images)
    return [replace(job, shard=Shard(number, parts)) for number in range(1, parts + 1)]


def joined(reports: Sequence[FileReport]) -> FileReport:
    """The report of a job by those of its parts."""
    failed = [report for report in reports if report.status == "failed"]
    if failed:
        return failed[0]
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    left = min(report.images_left or 0 for report in reports)
    seconds = max(report.seconds or 0 for report in reports)
    return replace(reports[-1], notes=tuple(notes), images_left=left, seconds=seconds)


class SeriesParts:
    """The images of a series that are done.

    Parameters
    ----------
    output : the file that will hold all of them
    """

    def __init__(self, output: Path, series: Series) -> None:
        self.folder = output.with_name(f".{output.name}.parts")  # hidden from later runs
        self._series = series
        self._height = series.size[0]

    def agree(self, channels: Sequence[ChannelModel], active: ActiveJob) -> None:
        """Write the plan, or find out whether this machine goes by the one that is there.

        Raises
        ------
        OutputError
            If it does not, or the plan cannot be read or written.
        """
        plan = _plan(self._series, channels, active)
        ours = json.dumps(plan, indent=1, sort_keys=True)
        path = self.folder / PLAN
        new = temporary_name(path).with_suffix(".new")
        write_atomically(new, ours.encode())
        try:
            if _put_first(new, path):
                self._forget()
            theirs = json.loads(path.read_bytes())
            differing = [key for key, value in json.loads(ours).items() if theirs[key] != value]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(f"{path}: cannot be used: {error}; remove {self.folder}") from None
        finally:
            with suppress(OSError):
                new.unlink()
        if differing:
            raise OutputError(
                f"{path}: images were done with other {', '.join(differing)}; use the same file,"
                f" options, version and kind of processor, or remove {self.folder}"
            )

    def missing(self) -> list[int]:
        """Images that are not done, from 0."""
        return [number for number in range(len(self._series)) if not self._path(number).exists()]

    @property
    def are_joined(self) -> bool:
        """Whether another part has found all images done, and written the result."""
        return not (self.folder / PLAN).exists()

    def write(self, number: int, denoised: Iterable[ImageFile]) -> None:
        """Keep an image that comes whole or in rows; nothing is done if all have been joined."""
        if self.are_joined:
            return
        try:
            with atomic_file(self._path(number)) as file:
                writer = SeriesWriter(file, BY_NAME["TIFF"], (), strip=True, height=self._height)
                for rows in denoised:
                    writer.write(rows)
        except OutputError:
            if not self.are_joined:  # by another part, while this one was at work
                raise

    def join(self, write: Callable[[ImageFile], None]) -> None:
        """Write all images, in their order, with all that the file says of them.

        Raises
        ------
        ImageError
            If one is damaged.
        """
        for number in range(len(self._series)):
            noisy = self._series.frame(number)
            for top, bottom in noisy.pieces():
                done = self._read(number, top, bottom)
                write(replace(noisy.rows(top, bottom), pixels=done.pixels))

    def _read(self, number: int, top: int, bottom: int) -> ImageFile:
        """Rows of an image that is done."""
        limit = math.prod(self._series.size)
        try:
            with open_rows(self._path(number), max_pixels=limit) as done:
                return done.rows(top, bottom)
        except ImageError as error:
            raise ImageError(f"{error}; remove it, and run its part again") from None

    def remove(self) -> None:
        """Remove the folder, when the result is written; another machine may do so, too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forget(self) -> None:
        """Remove images that were there before the plan: they are of another time."""
        for path in self.folder.glob("*.tif"):
            path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number + 1:06d}.tif"


def _put_first(new: Path, path: Path) -> bool:
    """Give a file its name, unless another one has it already; whether it has got it."""
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    except OSError:  # the file system has no links
        if path.exists():
            return False
        new.replace(path)
    return True


def _plan(series: Series, channels: Sequence[ChannelModel], active: ActiveJob) -> dict[str, Any]:
    """What has to be the same on all machines, by the words for it."""
    job, settings = active.job, active.settings
    names = [one.name for one in fields(settings) if one.name not in NO_MATTER]
    return {
        "images": [len(series), dict(series.axes), series.first.description],
        "files": [
            None if path is None else fingerprint(path)
            for path in (job.image, job.mask, job.load_model)
        ],
        "options": {name: str(getattr(settings, name)) for name in names},
        "noise": [None if one.noise is None else one.noise.report() for one in channels],
        "models": [digest((*one.models, *one.second)) for one in channels],
        "version": __version__,
        "processor": pick_device(settings.device).type,
    }
