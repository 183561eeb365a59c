"""Many files in one command: failures, summaries, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, documented_keys, run_cli
from image_samples import tiff_bytes

from denoise.cli.jobs import FileJob
from denoise.cli.one_file import denoise_file
from denoise.cli.report import FileReport
from denoise.cli.settings import Settings
from denoise.files.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("batch_folder")
SIGMA = ("--sigma", "20")


def test_two_bad_files_do_not_stop_the_others() -> None:
    Path("in/broken.png").write_bytes(Path("in/a.png").read_bytes()[:200])
    Path("in/text.png").write_text("hello")
    before = contents(Path("in"))
    code, stdout, stderr = run_cli("in", "-o", "out", "--recursive", *SIGMA)
    assert code == 1
    lines = stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["in/a.png", "in/b.png", "in/sub/c.png"]
    assert lines[3] == "3 done, 0 skipped, 2 failed"
    assert [line.split(": ")[1] for line in lines[4:]] == ["in/text.png", "in/broken.png"]
    assert stderr.count("error: ") == 2
    assert "error: in/text.png: not an image that can be read" in stderr
    assert "error: in/broken.png: " in stderr
    assert sorted(contents(Path("out"))) == ["out/a.png", "out/b.png", "out/sub/c.png"]
    assert contents(Path("in")) == before


def test_a_batch_gives_the_same_files_as_single_runs() -> None:
    assert run_cli("in", "-o", "out", "-r", *SIGMA)[0] == 0
    assert run_cli("in/b.png", "-o", "single.png", *SIGMA)[0] == 0
    assert Path("single.png").read_bytes() == Path("out/b.png").read_bytes()


def test_references_by_name_give_a_mean() -> None:
    Path("clean/b.png").unlink()
    code, stdout, stderr = run_cli("in", "-o", "out", "-r", *SIGMA, "--reference", "clean")
    assert code == 0
    assert "warning: in/b.png: no image of this name in clean" in stderr
    gains = [
        line.split("PSNR ")[1].split(" dB")[0] for line in stdout.splitlines() if "sub" in line
    ]
    assert float(gains[0].split(" -> ")[1]) > float(gains[0].split(" -> ")[0])
    assert stdout.splitlines()[-1].startswith("3 done, 0 skipped, 0 failed, mean PSNR ")
    assert stdout.splitlines()[-1].endswith(" dB over 2")


def test_json_has_one_object_for_each_image_whatever_became_of_it() -> None:
    Path("in/text.png").write_text("hello")
    assert run_cli("in/a.png", "-o", "out/", *SIGMA, "-q") == (0, "", "")
    code, stdout, stderr = run_cli("in", "-o", "out", "--json", "--skip-existing", *SIGMA)
    assert code == 1
    reports = [json.loads(line) for line in stdout.splitlines()]
    assert {one["input"]: one["status"] for one in reports} == {
        "in/text.png": "failed",
        "in/a.png": "skipped",
        "in/b.png": "done",
    }
    assert len({tuple(one) for one in reports}) == 1  # the same keys in all
    failed = next(one for one in reports if one["status"] == "failed")
    assert failed["error"].startswith("in/text.png: not an image")
    done = next(one for one in reports if one["status"] == "done")
    assert (done["dtype"], done["sigma"], done["sigma_source"]) == ("uint8", 20, "given")
    assert done["settings"]["training"]["epochs"] == 4
    assert "1 done, 1 skipped, 1 failed" in stderr


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), MemoryError(), KeyError("bug")])
def test_whatever_happens_to_one_image_the_others_go_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(job: FileJob, *arguments: object, **more: object) -> FileReport:
        if str(job.image) == "in/a.png":
            raise error
        return denoise_file(job, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("denoise.cli.batch.denoise_file", fail_once)
    code, stdout, stderr = run_cli("in", "-o", "out", "-r", *SIGMA)
    assert code == 1
    assert "2 done, 0 skipped, 1 failed" in stdout
    wanted = "out of memory" if isinstance(error, MemoryError) else "internal error, please report"
    assert f"error: in/a.png: {wanted}" in stderr
    assert "Traceback" not in stdout + stderr
    code, _, stderr = run_cli("in/a.png", "-o", "out/", "--verbose", *SIGMA)
    assert ("Traceback" in stderr) == (not isinstance(error, MemoryError))


def test_an_interruption_that_a_library_fails_upon_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **more: object) -> FileReport:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("cannot release un-acquired lock")

    monkeypatch.setattr("denoise.cli.batch.denoise_file", fail)
    code, _, stderr = run_cli("in", "-o", "out", "-r", *SIGMA)
    assert code == 130
    assert "interrupted: 0 of 3 images are done" in stderr


def test_fail_fast_stops_at_the_first_failure() -> None:
    Path("in/a.png").write_bytes(Path("in/a.png").read_bytes()[:200])
    code, stdout, stderr = run_cli("in", "-o", "out", "-r", "--fail-fast", *SIGMA)
    assert code == 1
    assert stdout.splitlines()[0] == "0 done, 0 skipped, 1 failed, 2 not tried"
    assert stderr.count("error: ") == 1
    assert not Path("out").exists()


def test_nothing_found_is_a_failure() -> None:
    Path("empty").mkdir()
    code, stdout, stderr = run_cli("empty", *SIGMA)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: empty: holds no image (.png ")
    code, _, stderr = run_cli("in/a.png", "*.webp", *SIGMA)
    assert code == 1
    assert "error: *.webp: no match" in stderr
    assert Path("in/a_denoised.png").exists()


def test_colliding_names_are_found_before_anything_is_done() -> None:
    before = contents(Path())
    code, stdout, stderr = run_cli("in/a.png", "clean/a.png", "-o", "out", *SIGMA)
    assert (code, stdout) == (2, "")
    message = "out/a.png would be written twice, for in/a.png and clean/a.png; run them apart"
    assert message in " ".join(stderr.split())
    assert contents(Path()) == before


def test_files_about_several_images_go_into_folders() -> None:
    extras = ("--figure", "f", "--curve", "c", "--uncertainty", "u", "--save-model", "m")
    assert run_cli("in", "-o", "out", "-r", *SIGMA, *extras)[0] == 0
    for name in ("f/sub/c.png", "c/sub/c.csv", "u/sub/c.npy", "m/sub/c.npz"):
        assert Path(name).exists()
    assert np.load("u/a.npy").shape == (24, 24)
    header, *rows = Path("c/a.csv").read_text().splitlines()
    assert header == "patch_size,epoch,elbo,elbo_per_value"
    assert len(rows) == 4


def test_the_json_schema_is_documented() -> None:
    code, stdout, _ = run_cli("in/a.png", "--json", *SIGMA)
    assert code == 0
    assert documented_keys("What `--json` prints") == set(json.loads(stdout))


def test_clipped_images_in_which_no_noise_can_be_measured_are_no_failures() -> None:
    generator = np.random.default_rng(0)
    saturated = np.clip(generator.normal(256, 2, (32, 32)), 0, 255)
    write_image(Path("odd/saturated.png"), saturated, overwrite=False)
    write_image(Path("odd/binary.png"), 255.0 * (saturated > 254), overwrite=False)
    code, stdout, stderr = run_cli("odd", "-o", "out")
    assert (code, stderr.count("error")) == (0, 0)
    assert stdout.splitlines()[-1] == "2 done, 0 skipped, 0 failed"


def test_the_start_of_the_program_counts_for_the_first_image_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets: list[float | None] = []

    def record(job: object, settings: Settings, **_: object) -> FileReport:
        budgets.append(settings.time_budget)
        return FileReport("in", "out", "skipped")

    monkeypatch.setattr("denoise.cli.batch.denoise_file", record)
    monkeypatch.setattr("denoise.cli.main._seconds_since_start", lambda: 4.0)
    assert run_cli("in", "-o", "out", "-r", "--time-budget", "10s", *SIGMA)[0] == 0
    assert budgets == [6.0, 10.0, 10.0]


def test_missing_pixels_without_noise_are_filled_in_and_the_others_stay() -> None:
    image = np.full((32, 32), 7, np.float32)
    image[:, 16:] = 9
    image[3, 4] = np.nan
    Path("z.tif").write_bytes(tiff_bytes(image))
    code, _, stderr = run_cli("z.tif", "--fill-missing")
    assert code == 0
    assert "there is no noise to speak of; the rest is written as it is" in stderr
    found = read_image(Path("z_denoised.tif")).pixels
    assert found[3, 4] == pytest.approx(7, abs=0.5)
    found[3, 4] = image[3, 4]
    assert np.array_equal(found, image, equal_nan=True)


def test_a_budget_that_is_not_kept_is_reported() -> None:
    code, _, stderr = run_cli("in/a.png", *SIGMA, "--time-budget", "1ms")
    assert code == 0
    assert "note: in/a.png: took " in stderr
    assert stderr.rstrip().endswith(" s over the time budget")
