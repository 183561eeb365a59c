"""An image of the page: what its process does with it, by the same code as the command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from denoise.cli.file_noise import scale_of
from denoise.cli.jobs import ActiveJob, FileJob
from denoise.cli.one_file import denoise_opened, write_outputs
from denoise.cli.opened import OpenedFile, open_image, source_of
from denoise.cli.progress import STAGE_NAMES
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.cli.shown import Screen, View, views_of
from denoise.errors import DenoiseError
from denoise.files.images import read_image, result_suffix
from denoise.files.outputs import write_atomically
from denoise.methods.table import METHODS
from denoise.noise.estimate import measure_noise
from denoise.noise.gaussian import GaussianNoise
from denoise.noise.pixels import as_pixels
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN
from denoise.presets import PRESETS
from denoise.serve.choices import settings_of

# Side of the part that is denoised first, in pixels, and the preset for it.
PREVIEW_SIDE = 256
QUICKEST = next(iter(PRESETS))
# Side of an image that is small and can be denoised, in pixels, and its noise.
WARM_SIDE, WARM_SIGMA = 40, 10.0
# Seconds between two reports of progress.
PAUSE = 0.1
# Options that change what is read and seen of an image, before it is denoised.
SEEN_BY = ("frame", "max_pixels", "fill_missing", "fill_outliers", "noise", "sigma")


class Image:
    """One image file in a folder, and the last result.

    Parameters
    ----------
    send : called with the name of an event and its fields
    """

    job: FileJob
    settings: Settings
    opened: OpenedFile
    result: DenoiseResult | None
    views: dict[str, Callable[[], View]]
    started: float

    def __init__(self, send: Callable[..., None]) -> None:
        self.send = send
        self.views = {}

    def open(self, file: str, options: Sequence[str]) -> None:
        """Read the image in the current folder and find its noise."""
        path = Path(file)
        os.chdir(path.parent)
        image = Path(path.name)
        output = Path("result").with_suffix(result_suffix(image))
        self.job = FileJob(image, output, uncertainty=Path("uncertainty.npy"))
        self._look(settings_of(options))

    def denoise(self, options: Sequence[str], part: Sequence[int] | None = None) -> None:
        """Denoise it, and a part before the rest.

        Parameters
        ----------
        part : left, top, width and height of what is on the screen, in pixels as they show
        """
        self.started = time.perf_counter()
        settings = settings_of(options)
        for name in (*self.views, "preview"):
            Path(f"{name}.png").unlink(missing_ok=True)
        self.views = {}
        if any(getattr(settings, one) != getattr(self.settings, one) for one in SEEN_BY):
            self._look(settings)
        self.settings = settings
        if part is not None and self._is_worth_a_preview():
            with suppress(DenoiseError):  # as of a part without any data; the rest may have some
                self._preview(part)
        active = ActiveJob(self.job, settings, on_progress=self._reporter(), started=self.started)
        self.result = denoise_opened(self.opened, active)
        report = self._write(settings.strength).with_lateness(settings.time_budget)
        denoised = self.opened.denoised(self.result, strength=1.0)
        self.views = views_of(self.screen, self.opened, denoised, self.result)
        del self.views["before"]  # it has been written
        self.send(
            "done",
            notes=[self.plain(note) for note in report.notes],
            seconds=report.seconds,
            device=report.device,
            noise=report.noise_text(),
            views=list(self.views),
        )

    def view(self, name: str) -> None:
        """Write a view of the result, a PNG file of this name in the folder.

        Raises
        ------
        DenoiseError
            If there is none of this name.
        """
        if name not in self.views:
            raise DenoiseError(f"there is no view {name!r} of this result")
        self._show(name, self.views[name]())
        self.send("answer", file=f"{name}.png")

    def save(self, strength: float) -> None:
        """Write the result as the command would with this strength."""
        self._write(strength)
        self.send("answer", file=str(self.job.output))

    def plain(self, message: str) -> str:
        """A message without the name of the file in the folder."""
        return message.removeprefix(f"{self.job.input_name}: ")

    def _look(self, settings: Settings) -> None:
        """Read the file, show it, and find its noise."""
        source = source_of(self.job)
        noisy = read_image(source, frame=settings.frame, max_pixels=settings.max_pixels)
        self.screen = Screen(noisy)
        before = self.screen.photograph("", noisy.pixels)
        self.height, self.width = before.picture.shape[:2]
        self._show("before", before)
        self.send(
            "read",
            width=self.width,
            height=self.height,
            description=f"{noisy.format}, {noisy.description}",
        )
        self.opened = open_image(noisy, self.job, settings)
        self.settings = settings
        noise, notes = self.opened.seen.noise, self.opened.notes
        summary = None if noise is None else noise.summary(scale_of(noisy))
        self.send("noise", noise=summary, notes=[self.plain(note) for note in notes])

    def _is_worth_a_preview(self) -> bool:
        """Whether a part is done much sooner than the whole."""
        if self.opened.seen.noise is None:
            return False
        small = self.width * self.height < 2 * PREVIEW_SIDE**2
        return not (small and self.settings.preset == QUICKEST)

    def _preview(self, part: Sequence[int]) -> None:
        """Denoise the middle of a part quickly."""
        left, width = _middle(part[0], part[2], self.width)
        top, height = _middle(part[1], part[3], self.height)
        shape = (self.height, self.width)
        rows, columns = self.screen.turn.box_in_file(top, left, height, width, shape)
        seen = self.opened.seen
        void = None if seen.image.void is None else seen.image.void[rows, columns]
        cut = replace(seen.image, pixels=seen.image.pixels[rows, columns], alpha=None, void=void)
        settings = replace(self.settings, preset=QUICKEST, time_budget=None)
        result = denoise_opened(
            replace(self.opened, seen=replace(seen, image=cut)),
            ActiveJob(replace(self.job, uncertainty=None), settings),
        )
        if result is None:
            return
        self._show("preview", self.screen.photograph("", result.image))
        self.send("preview", left=left, top=top, width=width, height=height)

    def _write(self, strength: float) -> FileReport:
        """Write the result as the command does."""
        settings = replace(self.settings, strength=strength, overwrite=True)
        job = replace(self.job, uncertainty=None)
        active = ActiveJob(job, settings, started=self.started)
        return write_outputs(self.opened, self.result, active)

    def _show(self, name: str, view: View) -> None:
        write_atomically(Path(f"{name}.png"), view.png())

    def _reporter(self) -> Callable[[Progress], None]:
        """Reports progress, but not more often than anybody can read it."""
        last = 0.0

        def report(progress: Progress) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last < PAUSE and progress.done < progress.total:
                return
            last = now
            size = progress.patch_size
            self.send(
                "progress",
                stage=STAGE_NAMES[progress.stage],
                patches=None if size is None else f"{size}×{size} patches",
                done=progress.done,
                total=progress.total,
            )

        return report


def warm_up() -> None:
    """Load what a run loads when it first needs it."""
    pixels = np.random.default_rng(0).normal(128.0, WARM_SIGMA, (WARM_SIDE, WARM_SIDE))
    measure_noise(as_pixels(pixels))
    METHODS[QUICKEST].denoise(pixels, GaussianNoise(WARM_SIGMA), DEFAULT_RUN)


def _middle(start: int, length: int, whole: int) -> tuple[int, int]:
    """Start and length of the middle of a stretch, as long as a preview and inside the image."""
    side = min(PREVIEW_SIDE, whole)
    middle = start + length // 2
    return min(max(middle - side // 2, 0), whole - side), side
