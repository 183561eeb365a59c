"""Many files in one command: failures, summaries, resuming, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, noisy_file, run_cli

from denoise.images import read_image, write_image


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_preset: None) -> Path:
    """Three noisy images, in a folder and its subfolder, with clean ones beside."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png", "sub/c.png")):
        noisy_file(Path("in") / name, clean=Path("clean") / name, seed=seed)
    return tmp_path


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


def test_a_batch_gives_the_same_files_as_single_runs_and_as_two_processes() -> None:
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


def test_skip_existing_leaves_whole_results_alone_and_replaces_damaged_ones() -> None:
    write_image(Path("out/a.png"), np.zeros((24, 24)), overwrite=False)
    write_image(Path("out/b.png"), np.zeros((9, 24)), overwrite=False)  # another size
    Path("out/sub").mkdir()
    Path("out/sub/c.png").write_bytes(Path("out/a.png").read_bytes()[:50])  # truncated
    kept = Path("out/a.png").read_bytes()
    code, stdout, _ = run_cli("in", "-o", "out", "-r", "--skip-existing", *SIGMA)
    assert code == 0
    assert stdout.splitlines()[0] == "in/a.png: skipped, out/a.png is there"
    assert stdout.splitlines()[-1] == "2 done, 1 skipped, 0 failed"
    assert Path("out/a.png").read_bytes() == kept
    for name in ("b.png", "sub/c.png"):
        assert read_image(Path("out") / name).pixels.std() > 1


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
    assert "in/a.png and clean/a.png would both be written to out/a.png" in " ".join(stderr.split())
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
    page = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name.strip(" `") for row in rows for name in row.split(",")}
    assert documented == set(json.loads(stdout))
