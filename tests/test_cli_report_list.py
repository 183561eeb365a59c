"""The list of the pages of a run: every image, also of runs that failed or came before."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import contents, in_this_process
from conftest import run_cli as run
from html_page import Page
from test_cli_report_page import SIGMA

from denoise.cli.pages.markup import read_data

pytestmark = pytest.mark.usefixtures("report_folder")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_list_names_every_image_and_why_it_failed(
    jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoise.cli.batch.in_processes", in_this_process)
    Path("in/broken.png").write_bytes(Path("in/a.png").read_bytes()[:100])
    options = ("--reference", "ref", "--report", "pages", "--jobs", jobs)
    assert run("in", "-r", "-o", "out", *SIGMA, *options)[0] == 1
    index = Page("pages/index.html")
    assert index.links() == ["./a.html", "./sub/b.html"]
    assert [name for name, _ in index.elements].count("img") == 6
    assert "2 done, 0 skipped, 1 failed" in index.text
    assert "in/broken.png: " in index.text
    data = read_data(Path("pages/a.html"))
    assert data is not None
    assert f"{data['psnr_noisy']:.2f} → {data['psnr']:.2f} dB" in index.text


def test_nothing_that_exists_is_replaced() -> None:
    for name in ("pages/a.html", "pages/index.html"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
        before = contents(Path.cwd())
        code, _, stderr = run("in", "-o", "out", *SIGMA, "--report", "pages")
        assert code == 1
        assert f"error: {name}: exists already; use --overwrite" in stderr
        assert contents(Path.cwd()).items() >= before.items()
        Path(name).unlink()
        Path("pages/index.html").unlink(missing_ok=True)
    Path("pages/index.html").write_text("mine")
    assert run("in", "-o", "out", *SIGMA, "--report", "pages", "--overwrite")[0] == 0
    assert Page("pages/index.html").links() == ["./a.html"]


def test_a_run_that_is_resumed_lists_what_earlier_ones_did() -> None:
    again = ("in", "-r", "-o", "out", *SIGMA, "--report", "pages", "--skip-existing")
    assert run(*again)[0] == 0
    first = Page("pages/index.html")
    Path("pages/sub/b.html").unlink()
    before = Path("pages/a.html").stat().st_mtime_ns
    assert "1 done, 1 skipped" in run(*again)[1]
    assert Path("pages/a.html").stat().st_mtime_ns == before
    second = Page("pages/index.html")
    assert second.links() == first.links()
    assert [name for name, _ in second.elements].count("img") == 6


def test_an_interrupted_run_lists_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from denoise.cli import batch

    whole = batch.denoise_file

    def stopped(job: batch.FileJob, *rest: object, **more: object) -> object:
        if job.input_name == "in/sub/b.png":
            raise KeyboardInterrupt
        return whole(job, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "denoise_file", stopped)
    assert run("in", "-r", "-o", "out", *SIGMA, "--report", "pages")[0] == 130
    index = Page("pages/index.html")
    assert index.links() == ["./a.html"]
    assert "1 done, 0 skipped, 0 failed, 1 not tried" in index.text
