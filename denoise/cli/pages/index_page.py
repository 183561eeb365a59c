"""The list of all images of a run: what became of each, with a link to its page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from denoise.cli.jobs import FileJob
from denoise.cli.pages import provenance
from denoise.cli.pages.markup import Markup, document, joined, read_data, table, tag
from denoise.cli.pages.views import THUMBNAIL
from denoise.cli.plan import Plan
from denoise.cli.report import FileReport, batch_summary
from denoise.files.outputs import write_atomically

COLUMNS = ("image", "whole, and a detail before and after", "noise", "PSNR", "seconds", "status")
UNKNOWN = ""


def write_index(index: Path, plan: Plan, reports: Sequence[FileReport]) -> None:
    """Write the list of all images of a run, also of those that failed or were not reached.

    What is known of an image is in its page, also where an earlier run made that.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    found = {report.input: report for report in reports}
    rows = [_row(job, found.get(job.input_name), index.parent) for job in plan.jobs]
    summary = (
        batch_summary(reports, len(plan.jobs), plan.problems).splitlines()[0].replace("->", "→")
    )
    title = f"{len(plan.jobs)} images, denoised"
    problems = tag("ul", *(tag("li", reason, class_="error") for reason in plan.problems))
    body = joined(
        tag("header", tag("h1", title), tag("p", summary, class_="faint")),
        tag(
            "main",
            *([problems] if plan.problems else []),
            table(rows, COLUMNS, class_="index"),
            tag("pre", tag("code", provenance.command())),
        ),
        tag("footer", f"{provenance.versions()}; {provenance.machine()}; {provenance.now()}"),
    )
    write_atomically(index, document(title, body))


def _row(job: FileJob, report: FileReport | None, folder: Path) -> list[Markup]:
    """The cells of an image."""
    page = None if report is None or report.status == "failed" else job.report
    data = _data(page)
    name = joined(job.input_name)
    if page is not None and data:
        name = tag("a", job.input_name, href=_link(page, folder))
    psnr = _number(data.get("psnr"), ".2f", " dB")
    if data.get("psnr_noisy") is not None and psnr:
        psnr = joined(_number(data["psnr_noisy"], ".2f"), " → ", psnr)
    pictures = (
        tag("img", src=png, alt="", height=f"{THUMBNAIL}") for png in data.get("thumbnails", ())
    )
    return [
        name,
        tag("div", *pictures, class_="pictures"),
        joined(data.get("noise", UNKNOWN)),
        psnr,
        _number(data.get("seconds"), ".1f", " s"),
        _status(report),
    ]


def _data(page: Path | None) -> dict[str, Any]:
    """What a page says for programs; nothing if there is none, or none of ours."""
    if page is None or not page.is_file():
        return {}
    return read_data(page) or {}


def _link(page: Path, folder: Path) -> str:
    """The address of a page from the list; "./" before it keeps a colon from being a scheme."""
    relative = Path(os.path.relpath(page, folder)).as_posix()
    return "./" + quote(relative, errors="surrogateescape")


def _number(value: float | None, form: str, unit: str = "") -> Markup:
    return joined(UNKNOWN if value is None else f"{value:{form}}{unit}")


def _status(report: FileReport | None) -> Markup:
    if report is None:
        return joined("not tried")
    if report.status == "failed":
        return tag("span", report.error or "", class_="error")
    notes = f"{len(report.notes)} note{'s' * (len(report.notes) > 1)}"
    return joined(report.status, f", {notes}" if report.notes else "")
