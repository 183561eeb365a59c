"""Parts of a run for several machines, and what tells when all of them are done."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.testing
from conftest import PROCESS_ENVIRONMENT, contents, documented_keys, noisy_file, run_cli

from denoise.cli.finish import app as finish_app
from denoise.cli.options import Files
from denoise.cli.plan import plan_jobs
from denoise.cli.shards import Shard

NAMES = ("a.png", "b/c.png", "b/d.png", "b-e.png", "f.png")
BLUR = ("--sigma", "20", "--method", "blur")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five noisy images, in a folder and its subfolder."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(NAMES):
        noisy_file(Path("in") / name, seed=seed)
    return tmp_path


def run_finish(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `denoise finish`."""
    result = typer.testing.CliRunner().invoke(finish_app, arguments)
    return result.exit_code, result.stdout, result.stderr


def names_of(shard: Shard | None, *images: str) -> list[str]:
    files = Files(images=list(images) or ["in"], output="out", recursive=True)
    return [str(job.image) for job in plan_jobs(files, shard).jobs]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_each_image_is_in_one_part_whatever_the_order_of_the_names(count: int) -> None:
    shards = [Shard(number, count) for number in range(1, count + 1)]
    parts = [names_of(shard) for shard in shards]
    assert sorted(name for part in parts for name in part) == sorted(names_of(None))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    given = ["in/f.png", "in/a.png", "in/b-e.png"]  # as a shell with another locale may list them
    for shard in shards:
        assert names_of(shard, *given) == names_of(shard, *sorted(given))


def test_a_part_takes_every_nth_image_by_name() -> None:
    assert names_of(Shard(2, 3)) == ["in/b-e.png", "in/f.png"]
    assert [names_of(Shard(number, 3))[0] for number in (1, 3)] == ["in/a.png", "in/b/c.png"]


def test_parts_in_any_order_give_the_same_files() -> None:
    assert run_cli("in", "-r", "-o", "whole", *BLUR)[0] == 0
    for count in (1, 2, 7):
        numbers = random.Random(count).sample(range(1, count + 1), count)
        out = f"out{count}"
        for number in numbers:
            code, stdout, stderr = run_cli(
                "in", "-r", "-o", out, "--shard", f"{number}/{count}", *BLUR
            )
            size = len(range(number, 6, count))
            said = f"part {number} of {count}: {size} of 5 images, {size} done, 0 skipped, 0 failed"
            assert (code, stdout.splitlines()[-1], stderr) == (0, said, "")
        assert list(contents(Path(out)).values()) == list(contents(Path("whole")).values())


def test_a_part_that_is_killed_goes_on() -> None:
    quick = ("--sigma", "20", "--method", "nl-means")
    arguments = ("in", "-r", "-o", "out", *quick, "--skip-existing", "--shard")
    process = subprocess.Popen(
        [sys.executable, "-m", "denoise", *arguments, "1/2"],
        stdout=subprocess.DEVNULL,
        env=PROCESS_ENVIRONMENT,
    )
    while not Path("out/a.png").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 1 <= len(contents(Path("out"))) < 3
    for part in ("2/2", "1/2"):
        assert run_cli(*arguments, part)[0] == 0
    assert run_cli("in", "-r", "-o", "whole", *quick)[0] == 0
    whole = contents(Path("whole"))
    assert len(whole) == 5
    assert {name: Path(name.replace("whole", "out", 1)).read_bytes() for name in whole} == whole


def test_an_empty_part_says_so() -> None:
    code, stdout, stderr = run_cli("in", "-r", "-o", "out", "--shard", "6/7", *BLUR)
    said = "part 6 of 7: 0 of 5 images, 0 done, 0 skipped, 0 failed\n"
    assert (code, stdout, stderr, Path("out").exists()) == (0, said, "", False)


def test_json_names_the_part() -> None:
    _, stdout, _ = run_cli("in", "-r", "-o", "out", "--shard", "5/7", "--json", *BLUR)
    report = json.loads(stdout)
    assert (report["input"], report["shard"]) == ("in/f.png", "5/7")


def test_names_that_collide_are_found_by_every_part() -> None:
    noisy_file(Path("other/a.png"))
    for number in (1, 2, 3):
        code, _, stderr = run_cli("in", "other", "-r", "-o", "out", "--shard", f"{number}/3")
        assert code == 2
        assert "out/a.png would be written twice" in " ".join(stderr.split())


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/b", "1/0", "1", "1/2/3", "-1/4", "٣/4"])
def test_what_is_no_part_is_wrong_usage(text: str) -> None:
    code, stdout, stderr = run_cli("in", "--shard", text)
    assert (code, stdout) == (2, "")
    assert f"must be K/N with K from 1 to N, or auto, got {text!r}" in " ".join(stderr.split())


def set_slurm(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in ("ID", "MIN", "MAX", "COUNT"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)


@pytest.mark.parametrize(("task", "first"), [("4", "0"), ("5", "1"), ("14", "10")])
def test_a_slurm_task_takes_its_part(
    task: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_slurm(monkeypatch, ID=task, MIN=first, COUNT="7")
    assert "part 5 of 7: 1 of 5" in run_cli("in", "-r", "-o", "o", "--shard", "auto", *BLUR)[1]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "sets SLURM_ARRAY_TASK_ID to a number, got ''"),
        ({"ID": "3", "MIN": "1"}, "sets SLURM_ARRAY_TASK_COUNT to a number, got ''"),
        ({"ID": "x", "MIN": "1", "COUNT": "3"}, "sets SLURM_ARRAY_TASK_ID to a number, got 'x'"),
        ({"ID": "17", "MIN": "3", "COUNT": "2"}, "without gaps, got task 17 of 2 from 3 on"),
        ({"ID": "3", "MIN": "3", "MAX": "17", "COUNT": "2"}, "without gaps, got task 3 of 2"),
    ],
)
def test_outside_a_job_array_without_gaps_there_is_no_auto(
    values: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_slurm(monkeypatch, **values)
    code, _, stderr = run_cli("in", "--shard", "auto")
    assert code == 2
    assert reason in " ".join(stderr.split())


def test_parts_write_pages_and_finish_their_list() -> None:
    arguments = ("in", "-r", "-o", "out", "--report", "pages", *BLUR)
    _, _, stderr = run_cli(*arguments, "--shard", "1/2")
    assert "warning: pages/index.html: is not written by parts; `denoise finish` with" in stderr
    assert not Path("pages/index.html").exists()
    assert run_cli(*arguments, "--shard", "2/2")[0] == 0
    assert run_finish(*arguments) == (0, "5 of 5 images are done\n", "")
    assert Path("pages/index.html").read_text().count("<img") == 15


def test_finish_lists_what_the_same_command_would_do() -> None:
    arguments = ("in", "-r", "-o", "out", "--figure", "f", *BLUR)
    assert run_cli(*arguments)[0] == 0
    Path("out/a.png").write_bytes(Path("out/a.png").read_bytes()[:60])
    Path("out/b/c.png").unlink()
    Path("f/f.png").write_bytes(b"")
    Path("out/b-e.png").write_text("important")
    before = contents(Path())
    code, stdout, stderr = run_finish(*arguments)
    assert (code, stderr) == (1, "")
    assert stdout.splitlines() == [
        "in/a.png: out/a.png is damaged",
        "out/b-e.png: exists already and is no result of this image: not an image that can be"
        " read; expected PNG, JPEG, TIFF, WebP, BMP, PNM, NPY, FITS; use --overwrite or another"
        " name",
        "in/f.png: f/f.png is damaged",
        "in/b/c.png: out/b/c.png is missing",
        "1 of 5 images are done",
    ]
    code, stdout, stderr = run_finish(*arguments, "--json", "--jobs", "2")
    reports = [json.loads(line) for line in stdout.splitlines()]
    assert set(reports[0]) == documented_keys("What `--json` prints")
    assert [one["status"] for one in reports] == ["failed"] * 3 + ["failed", "skipped"]
    assert contents(Path()) == before
    Path("out/b-e.png").unlink()
    assert "4 done, 1 skipped, 0 failed" in run_cli(*arguments, "--skip-existing")[1]
    assert run_finish(*arguments, "--shard", "2/2") == (
        0,
        "part 2 of 2: 2 of 5 images, 2 of 2 images are done\n",
        "",
    )


def test_finish_needs_files_that_show_whether_they_are_done() -> None:
    code, _, stderr = run_finish("-", "-o", "out.png")
    assert (code, "there are none in a pipe" in stderr) == (2, True)
    code, stdout, _ = run_finish("in/a.png", "-o", "in/a.png", "--overwrite")
    assert (code, stdout.splitlines()[0]) == (
        1,
        "in/a.png: is the input; nothing tells whether it is denoised",
    )
    Path("empty").mkdir()
    code, stdout, stderr = run_finish("empty")
    assert (code, stdout) == (1, "0 of 0 images are done\n")
    assert stderr.startswith("error: empty: holds no image")
