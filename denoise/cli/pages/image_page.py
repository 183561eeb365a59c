"""The page about one image: what was done to it, and how good that is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from denoise.cli.file_noise import scale_of
from denoise.cli.jobs import FileJob
from denoise.cli.opened import OpenedFile
from denoise.cli.pages import provenance
from denoise.cli.pages.gallery import live_views, still_views
from denoise.cli.pages.markup import (
    Markup,
    data_uri,
    document,
    joined,
    picture,
    table,
    tag,
)
from denoise.cli.pages.views import fitted, thumbnails
from denoise.cli.report import FileReport
from denoise.cli.shown import Screen, View, views_of
from denoise.files.image_file import COLOUR_NAMES, ImageFile
from denoise.files.outputs import refuse_existing, write_atomically
from denoise.files.samples import with_equal_channels
from denoise.metrics import Quality
from denoise.pictures.comparison import draw_curves
from denoise.pictures.noise import draw_noise
from denoise.pictures.views import as_png
from denoise.pipeline.results import DenoiseResult


def write_page(
    job: FileJob,
    opened: OpenedFile,
    denoised: ImageFile,
    result: DenoiseResult | None,
    report: FileReport,
    *,
    input_sha256: str | None,
    overwrite: bool,
) -> None:
    """Write the page about an image whose result has been written.

    Parameters
    ----------
    denoised : as written
    result : None if there was nothing to remove
    input_sha256 : of the input, which the result may have replaced; None if it came from a pipe

    Raises
    ------
    OutputError
        If the page is there already and `overwrite` is not set, or cannot be written.
    """
    assert job.report is not None
    if not overwrite:
        refuse_existing([job.report])  # that has appeared since the job was checked
    name = Path(job.input_name).name
    drawing = views_of(Screen(opened.noisy), opened, denoised, result)
    drawn = {view: draw() for view, draw in drawing.items()}
    learned = drawn.pop("model", None)
    views = fitted(drawn)
    sections = [
        *_quality(report.quality),
        *_noise(report, opened),
        *_uncertainty(opened, result, report.quality),
        *_learned(learned, result),
        *_notes(report),
        _provenance(job, report, input_sha256),
        *_settings(report.settings),
    ]
    numbers = tag("div", *sections, class_="sections")
    body = joined(
        tag("header", tag("h1", name), _facts(report)),
        tag("main", live_views(), *map(still_views, views), numbers),
        tag("footer", f"denoise {report.version}, {provenance.now()}"),
    )
    data = json.loads(report.json())
    data["noise"] = report.noise_text()
    data["thumbnails"] = [data_uri(png) for png in thumbnails(views)]
    write_atomically(job.report, document(f"{name}, denoised", body, data))


def _facts(report: FileReport) -> Markup:
    """What matters most, in a row."""
    size = f"{report.width}×{report.height} {COLOUR_NAMES[report.channels or 1]}, {report.dtype}"
    facts = [("image", size), ("noise", report.noise_text())]
    if report.quality is not None:
        before, after = _decibels(report.quality.psnr_noisy), _decibels(report.quality.psnr)
        facts.append(("PSNR", f"{before} → {after}"))
    facts.append(("method", _method(report)))
    facts.append(("time", f"{report.seconds:.1f} s"))
    pairs = (tag("div", tag("dt", name), tag("dd", value)) for name, value in facts)
    return tag("dl", *pairs, class_="facts")


def _method(report: FileReport) -> str:
    name = str(report.model) if report.preset is None else f"{report.model}, {report.preset}"
    return name if report.strength == 1 else f"{name}, strength {report.strength}"


def _section(title: str, *content: str, wide: bool = False) -> Markup:
    kind = {"class_": "wide"} if wide else {}
    return tag("section", tag("h2", title), *content, **kind)


def _quality(quality: Quality | None) -> Iterator[Markup]:
    if quality is None:
        return
    rows = [("PSNR", _decibels(quality.psnr_noisy), _decibels(quality.psnr))]
    if quality.ssim is not None:
        before = "unknown" if quality.ssim_noisy is None else f"{quality.ssim_noisy:.3f}"
        rows.append(("SSIM", before, f"{quality.ssim:.3f}"))
    yield _section("Quality against the reference", table(rows, ("", "before", "after")))


def _decibels(value: float) -> str:
    return "equal" if math.isinf(value) else f"{value:.2f} dB"


def _noise(report: FileReport, opened: OpenedFile) -> Iterator[Markup]:
    rows = [("noise", report.noise_text())]
    if report.learned_sigma is not None:
        rows.append(("sigma by the model", f"{report.learned_sigma:.4g}"))
    rows += [(name, f"{value:.4g}") for name, value in (report.diagnostics or {}).items()]
    drawn = []
    if report.noise is not None and report.noise.stabilised_sigma > 0:
        seen = opened.seen
        png = as_png(draw_noise(report.noise, seen.pixels, scale_of(opened.noisy)))
        drawn.append(picture(png, "sigma over brightness, and the correlation of neighbours"))
    yield _section("Noise", table(rows), *drawn)


def _uncertainty(
    opened: OpenedFile, result: DenoiseResult | None, quality: Quality | None
) -> Iterator[Markup]:
    if result is None or result.uncertainty is None:
        return
    mean, largest = float(result.uncertainty.mean()), float(result.uncertainty.max())
    scale = scale_of(opened.noisy)
    content = [table([("mean", f"{mean:.3g}{scale}"), ("largest", f"{largest:.3g}{scale}")])]
    if opened.reference is not None and quality is not None:
        shares = coverage(opened, result, opened.reference)
        rows = [
            (f"{number} standard deviation{'s' * (number > 1)}", f"{100 * share:.1f} %", normal)
            for number, share, normal in zip((1, 2), shares, ("68.3 %", "95.4 %"), strict=True)
        ]
        content.append(table(rows, ("errors within", "found", "if normal")))
    explained = "The standard deviation of every pixel under the model, before refinement."
    yield _section("Uncertainty", tag("p", explained), *content)


def coverage(
    opened: OpenedFile, result: DenoiseResult, reference: ImageFile
) -> tuple[float, float]:
    """Shares of values whose error is at most one and two of their standard deviations."""
    assert result.uncertainty is not None
    image, deviation = result.image, result.uncertainty
    if image.ndim < reference.pixels.ndim:
        image, deviation = with_equal_channels(image), with_equal_channels(deviation)
    measured = opened.noisy.picture & reference.picture
    error, deviation = np.abs(image - reference.pixels)[measured], deviation[measured]
    return float(np.mean(error <= deviation)), float(np.mean(error <= 2 * deviation))


def _learned(learned: View | None, result: DenoiseResult | None) -> Iterator[Markup]:
    if result is None or learned is None:
        return
    patches = picture(learned.png(), "learned patches", id="patches", class_="pixelated")
    figures = [tag("figure", patches, tag("figcaption", learned.caption))]
    if result.elbo_history:
        curve = picture(as_png(draw_curves(result.models)), "ELBO over epochs")
        figures.append(tag("figure", curve, class_="plot"))
    yield _section("What was learned", tag("div", *figures, class_="figures"), wide=True)


def _notes(report: FileReport) -> Iterator[Markup]:
    if report.notes:
        yield _section("Notes", tag("ul", *(tag("li", note) for note in report.notes)))


def _provenance(job: FileJob, report: FileReport, input_sha256: str | None) -> Markup:
    files = [("input", report.input, input_sha256)]
    files.append(("output", report.output, provenance.sha256(job.output)))
    if job.reference is not None:
        files.append(("reference", str(job.reference), provenance.sha256(job.reference)))
    rows: list[tuple[str, str]] = [
        *((what, joined(name, tag("br"), _digest(digest))) for what, name, digest in files),
        ("date", provenance.now()),
        ("seed", f"{report.seed}"),
        ("versions", provenance.versions()),
        ("machine", provenance.machine()),
        ("device", report.device or "none was needed"),
    ]
    return _section(
        "To make it again", tag("pre", tag("code", provenance.command())), table(rows), wide=True
    )


def _digest(digest: str | None) -> Markup:
    return tag("code", "no file" if digest is None else f"sha256 {digest}")


def _settings(settings: dict[str, Any] | None) -> Iterator[Markup]:
    if settings:
        rows = [(name, str(value)) for name, value in _flat(settings)]
        listed = tag("details", tag("summary", "All settings"), table(rows))
        yield _section("Settings", listed, wide=True)


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
