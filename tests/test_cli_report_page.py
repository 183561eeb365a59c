"""Pages about results: whole, true to the files, and safe whatever a file is named."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import noisy_file, step_image
from conftest import run_cli as run
from html_page import Page
from PIL import Image

from denoise.cli.pages import provenance, views
from denoise.cli.pages.markup import joined, tag
from denoise.files.images import read_image, write_image
from denoise.pictures.views import residual_limit, residual_view

pytestmark = pytest.mark.usefixtures("report_folder")

SIGMA = ("--sigma", "20")


def pixels(path: str) -> np.ndarray:
    return np.asarray(read_image(Path(path)).pixels, np.float64)


def test_a_page_shows_what_was_read_written_and_removed() -> None:
    options = ("-o", "out.png", "--reference", "ref/a.png", "--residual", "removed.npy")
    code, stdout, _ = run("in/a.png", *SIGMA, *options, "--report", "pages", "--json")
    assert code == 0
    assert [path.name for path in Path("pages").iterdir()] == ["a.html"]  # no list of one
    page = Page("pages/a.html")
    files = {"before": "in/a.png", "after": "out.png", "reference": "ref/a.png"}
    for name, path in files.items():
        np.testing.assert_array_equal(np.asarray(page.pictures[name]), pixels(path))
    removed = np.load("removed.npy")
    limit = residual_limit(removed)
    assert np.abs(page.pictures["residual"] - residual_view(removed, limit)).max() <= 0.5
    assert f"white where {limit:.3g} of 255 was" in page.text
    assert page.pictures["uncertainty"].size == (24, 24)
    report = json.loads(stdout)
    for text in (
        f"{report['psnr']:.2f} dB",
        "sigma 20 of 255",
        "1 standard deviation",
        "if normal",
    ):
        assert text in page.text
    for path in ("in/a.png", "out.png"):
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() in page.text
    assert provenance.versions() in page.text


def test_a_page_loads_nothing_and_lets_nothing_run_but_its_own_script() -> None:
    run("in", "-r", "-o", "out", *SIGMA, "--report", "pages")
    for name in ("a.html", "sub/b.html", "index.html"):
        page = Page(f"pages/{name}")
        assert not re.search(r"https?:|url\(|@import", page.source)
        assert not any("style" in one or "onload" in one for _, one in page.elements)
        policy = next(one["content"] for _, one in page.elements if "http-equiv" in one)
        for kind in ("style", "script"):
            found = re.search(rf"<{kind}(?: type=\"module\")?>(.*?)</{kind}>", page.source, re.S)
            assert found is not None
            digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in str(policy)
        assert str(policy).startswith("default-src 'none'; ")
        assert "unsafe" not in str(policy)


def test_names_are_text_whatever_they_hold() -> None:
    odd = ("<script>alert(1)</script>.png", "it's \"><b>&amp;.png", os.fsdecode(b"\xff.png"))
    for number, name in enumerate(odd):
        noisy_file(Path("odd") / name, seed=number)
    assert run("odd", "-r", "-o", "out", *SIGMA, "-q", "--report", "pages") == (0, "", "")
    pages = [Page(Path("pages") / f"{name[:-4]}.html") for name in (*odd, "index.png")]
    for page in pages:
        assert {tag for tag, _ in page.elements}.isdisjoint({"b"})
        scripts = [attributes for tag, attributes in page.elements if tag == "script"]
        assert scripts == [{"type": "application/json", "id": "data"}, {"type": "module"}]
    for source in ("odd/<script>alert(1)</script>.png", "odd/it's \"><b>&amp;.png"):
        assert source in pages[-1].text
    assert pages[-1].links() == [
        "./it%27s%20%22%3E%3Cb%3E%26amp%3B.html",
        "./%FF.html",
        "./%3Cscript%3Ealert%281%29%3C/script%3E.html",
    ]


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = tag("b", "1 < 2 & 3")
    assert joined("<i>", inner) == "&lt;i&gt;<b>1 &lt; 2 &amp; 3</b>"
    assert tag("p", inner, title="\"a'") == ('<p title="&quot;a&#x27;"><b>1 &lt; 2 &amp; 3</b></p>')


def test_a_report_changes_neither_the_result_nor_the_json() -> None:
    plain, reported = (
        json.loads(run("in/a.png", *SIGMA, "-o", f"{name}.png", "--json", *more)[1])
        for name, more in (("plain", ()), ("reported", ("--report", "pages")))
    )
    assert Path("plain.png").read_bytes() == Path("reported.png").read_bytes()
    different = {key for key in plain if plain[key] != reported[key]}
    assert different <= {"output", "seconds"}
    assert set(plain) == set(reported)


@pytest.mark.parametrize("method", ["nl-means", "vq-vae"])
def test_other_methods_have_pages_without_what_they_do_not_know(method: str) -> None:
    small = ("--epochs", "1", "--training-patches", "50") if method == "vq-vae" else ()
    assert run("in/a.png", *SIGMA, "--method", method, *small, "--report", "pages")[0] == 0
    page = Page("pages/a.html")
    assert set(page.pictures) == {"before", "after", "residual"}
    assert ("What was learned" in page.text) == (method == "vq-vae")
    assert ("Patches drawn from the model" in page.text) == (method == "vq-vae")
    assert "What each latent adds" not in page.text
    assert method in page.text


def test_an_image_without_noise_has_a_page_as_well() -> None:
    write_image(Path("flat.png"), np.full((30, 40), 90.0), overwrite=False)
    code, _, stderr = run("flat.png", "--report", "pages")
    assert (code, "no other files" in stderr) == (0, False)
    page = Page("pages/flat.html")
    assert set(page.pictures) == {"before", "after", "residual"}
    assert np.ptp(np.asarray(page.pictures["residual"])) == 0
    assert "there is no noise to speak of" in page.text


def test_a_page_is_turned_as_the_file_says_and_keeps_its_colours() -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.open("in/a.png").crop((0, 0, 24, 16)).save("turned.png", exif=exif)
    assert run("turned.png", *SIGMA, "--report", "pages")[0] == 0
    before = Page("pages/turned.html").pictures["before"]
    assert before.size == (16, 24)
    np.testing.assert_array_equal(np.rot90(np.asarray(before)), pixels("turned.png"))


def test_a_large_image_is_shown_in_part_and_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_PIXELS", 24 * 24 - 1)
    monkeypatch.setattr(views, "PART", 12)
    assert run("in/a.png", *SIGMA, "-o", "out.png", "--report", "pages")[0] == 0
    page = Page("pages/a.html")
    found = re.search(r"12×12 pixels from row (\d+), column (\d+)", page.text)
    assert found is not None
    top, left = map(int, found.groups())
    part = pixels("out.png")[top : top + 12, left : left + 12]
    np.testing.assert_array_equal(np.asarray(page.pictures["after"]), part)
    assert "whole, reduced to 12×12" in page.text
    titles = [one["data-title"] for _, one in page.elements if "data-title" in one]
    assert len(titles) == 2


def test_the_coverage_is_the_share_of_errors_within_the_uncertainty() -> None:
    options = ("-o", "out.tif", "--reference", "ref.tif", "--uncertainty", "u.npy")
    for name, image in (("in.tif", pixels("in/a.png")), ("ref.tif", step_image())):
        Image.fromarray(image.astype(np.float32)).save(name)
    assert run("in.tif", *SIGMA, *options, "--report", "pages")[0] == 0
    error, deviation = np.abs(pixels("out.tif") - pixels("ref.tif")), np.load("u.npy")
    text = Page("pages/in.html").text
    for number, name in ((1, "1 standard deviation"), (2, "2 standard deviations")):
        share = 100 * np.mean(error <= number * deviation)
        assert f"{name}{share:.1f} %" in text


def test_a_page_from_a_pipe_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["-", "-o", "out.png", *SIGMA, "--method", "nl-means", "--report", "my pages"]
    monkeypatch.setattr(sys, "argv", ["denoise", *arguments])
    assert run(*arguments, stdin=Path("in/a.png").read_bytes())[0] == 0
    page = Page("my pages/stdin.html")
    assert "no file" in page.text
    assert shlex.join(sys.argv) in page.text  # what was typed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in/a.png", "--report", "page.html"), "--report page.html: pages need a folder"),
        (("in", "index.png", "--report", "pages"), "pages/index.html would be written twice"),
        (("in/a.png", "--report", ""), "a name is empty"),
    ],
)
def test_names_that_do_not_fit_are_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    noisy_file(Path("index.png"))
    code, _, stderr = run(*arguments, "-o", "out/", *SIGMA)
    assert (code, message in stderr) == (2, True)
    assert not Path("out").exists()
