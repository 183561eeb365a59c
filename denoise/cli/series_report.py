"""What is reported of a series, or of tiles: of all together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from denoise.cli.file_noise import outlier_notes
from denoise.cli.jobs import ActiveJob
from denoise.cli.opened import OpenedFile
from denoise.cli.report import FileReport
from denoise.files.outputs import refuse_existing
from denoise.metrics import Quality
from denoise.noise.interface import Noise
from denoise.pipeline.results import DenoiseResult
from denoise.vae.learned import LearnedVAE
from denoise.vae.saved import save_models


class Tally:
    """Adds up what there is to say of images, or of tiles."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}
        self._outliers, self._kind = 0, ""
        self._qualities: list[Quality] = []
        self._last: DenoiseResult | None = None
        self._noises: list[Noise | None] = []

    def add(self, opened: OpenedFile, result: DenoiseResult | None) -> None:
        """Count what was denoised at once: an image, or a tile."""
        seen = opened.seen
        outliers = outlier_notes(seen.outliers, seen.outlier_kind)
        self._notes.update(dict.fromkeys(note for note in opened.notes if note not in outliers))
        self._outliers += seen.outliers
        self._kind = seen.outlier_kind or self._kind
        self._last = result or self._last

    def add_image(
        self, noise: Noise | None, quality: Quality | None, remarks: Iterable[str] = ()
    ) -> None:
        """Count an image that is done; quality is None where it is not known."""
        self._notes.update(dict.fromkeys(remarks))
        self._noises.append(noise)
        if quality is not None:
            self._qualities.append(quality)

    def reported(self, report: FileReport, seconds: float) -> FileReport:
        """The report with all that was counted."""
        noises = report.noises or tuple(self._noises)
        last, notes = self._last, dict.fromkeys(report.notes) | self._notes
        more = outlier_notes(self._outliers, self._kind)
        report = replace(
            report,
            noise=noises[0] if noises else None,
            noises=noises,
            seconds=seconds,
            notes=(*more, *notes),
            quality=_mean(self._qualities),
        )
        if last is None:
            return report
        tiles = report.tiles or last.tiles
        return replace(report, device=last.device, settings=last.settings, tiles=tiles)


def _mean(qualities: Sequence[Quality]) -> Quality | None:
    if not qualities:
        return None

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(qualities) else None

    return Quality(
        psnr_noisy=fmean(one.psnr_noisy for one in qualities),
        psnr=fmean(one.psnr for one in qualities),
        ssim_noisy=mean(one.ssim_noisy for one in qualities),
        ssim=mean(one.ssim for one in qualities),
    )


def write_models(active: ActiveJob, models: Sequence[LearnedVAE]) -> None:
    """Write the models if the job asks for them."""
    path = active.missing.save_model
    if path is not None:
        if not active.settings.may_replace:
            refuse_existing([path])
        save_models(path, models)
