"""A file of several images that is denoised by several machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import in_this_process, learn_tiny_models, run_cli, step_image
from image_samples import tiff_bytes
from typer.testing import CliRunner

from denoise.cli import series_parts
from denoise.cli.jobs import FileJob
from denoise.cli.main import app
from denoise.cli.series_parts import SeriesParts
from denoise.cli.shards import Shard
from denoise.files.image_file import ImageFile
from denoise.files.samples import to_8bit

SIGMA = ["--sigma", "20"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one machine makes of the stack."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as monkeypatch:
        learn_tiny_models(monkeypatch)
        write_stack(folder / "stack.tif")
        assert run_cli(f"{folder}/stack.tif", *SIGMA, "-o", f"{folder}/alone.tif")[0] == 0
    return (folder / "alone.tif").read_bytes()


@pytest.fixture(autouse=True)
def folder(tiny_preset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a stack."""
    monkeypatch.chdir(tmp_path)
    write_stack(Path("stack.tif"))


def write_stack(path: Path) -> None:
    """Eight noisy images: four times, two channels."""
    noise = np.random.default_rng(0).normal(0, 20, (4, 2, 24, 24))
    stack = to_8bit(step_image() + noise)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TCYX", "unit": "um"})


def do_part(part: str, *more: str) -> tuple[int, str, str]:
    return run_cli("stack.tif", *SIGMA, "-o", "out.tif", "--shard", part, *more)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_parts_in_any_order_give_the_same_bytes(count: int, expected: bytes) -> None:
    for number in np.random.default_rng(count).permutation(count) + 1:
        assert not Path("out.tif").exists()
        code, _, stderr = do_part(f"{number}/{count}")
        assert code == 0, stderr
    assert Path("out.tif").read_bytes() == expected
    assert not Path(".out.tif.parts").exists()


def test_a_part_that_was_killed_goes_on(expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = SeriesParts.write, []

    def killed(self: SeriesParts, number: int, denoised: ImageFile) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, number, denoised)
        written.append(number)

    with monkeypatch.context() as patch:
        patch.setattr(SeriesParts, "write", killed)
        assert do_part("1/2")[0] == 130
    assert written == [0, 2]
    options = ["stack.tif", *SIGMA, "-o", "out.tif", "--device", "cpu"]
    found = CliRunner().invoke(app, ["finish", *options])
    assert found.exit_code == 1
    assert "out.tif is missing, images 2, 4, 5, 6, 7, 8 of it are not done" in found.stdout
    times = {path: path.stat().st_mtime_ns for path in Path(".out.tif.parts").glob("0*")}
    assert ", 4 images left to other parts -> out.tif" in do_part("1/2")[1]
    assert {path: path.stat().st_mtime_ns for path in times} == times  # these were not done again
    assert do_part("2/2")[0] == 0
    assert Path("out.tif").read_bytes() == expected


def test_all_parts_have_to_agree() -> None:
    assert do_part("1/2", "--json")[0] == 0
    plan = Path(".out.tif.parts/plan.json")
    before = plan.read_bytes()
    code, _, stderr = run_cli("stack.tif", "--sigma", "9", "-o", "out.tif", "--shard", "2/2")
    assert code == 1
    assert "images were done with other models, noise, options; use the same file" in stderr
    assert plan.read_bytes() == before
    plan.write_text("{}")
    code, _, stderr = do_part("2/2")
    assert code == 1
    assert "plan.json: cannot be used: 'files'; remove .out.tif.parts" in stderr


def test_a_damaged_part_is_named(expected: bytes) -> None:
    do_part("1/2")
    part = Path(".out.tif.parts/000003.tif")
    part.write_bytes(part.read_bytes()[:100])
    code, _, stderr = do_part("2/2")
    assert code == 1
    assert "000003.tif: " in stderr
    assert "remove it, and run its part again" in stderr
    assert not Path("out.tif").exists()
    part.unlink()
    assert do_part("1/2")[0] == 0
    assert Path("out.tif").read_bytes() == expected


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_processes_share_out_the_images_of_a_single_file(
    real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not real:
        monkeypatch.setattr("denoise.cli.batch.in_processes", in_this_process)
    options = ["stack.tif", *SIGMA, "--method", "blur", "--json"]
    assert run_cli(*options, "-o", "one.tif")[0] == 0
    code, stdout, stderr = run_cli(*options, "-o", "two.tif", "--jobs", "2")
    assert code == 0, stderr
    (report,) = [json.loads(line) for line in stdout.splitlines()]
    assert (report["images"], report["images_left"]) == (8, 0)
    assert Path("two.tif").read_bytes() == Path("one.tif").read_bytes()
    assert not Path(".two.tif.parts").exists()


def test_parts_of_other_files_are_not_joined() -> None:
    options = [*SIGMA, "--method", "blur", "-o", "out.tif"]
    assert run_cli("stack.tif", *options, "--shard", "1/2")[0] == 0
    stack = tifffile.imread("stack.tif")
    tifffile.imwrite("stack.tif", 255 - stack, imagej=True, metadata={"axes": "TCYX"})
    code, _, stderr = run_cli("stack.tif", *options, "--shard", "2/2")
    assert code == 1
    assert "images were done with other files; use the same file" in stderr


def test_images_without_a_plan_are_of_another_time(expected: bytes) -> None:
    folder = Path(".out.tif.parts")
    folder.mkdir()
    (folder / "000001.tif").write_bytes(tiff_bytes(np.zeros((24, 24), np.uint8)))
    assert do_part("1/1")[0] == 0
    assert Path("out.tif").read_bytes() == expected


def test_parts_that_begin_at_once_agree(expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one begins when this one has prepared its plan, and not put it in place."""
    put, begun = series_parts._put_first, []

    def late(new: Path, path: Path) -> bool:
        if not begun:
            begun.append(path)
            monkeypatch.setattr("denoise.files.outputs.platform.node", lambda: "another")
            assert do_part("2/2")[0] == 0
            monkeypatch.setattr("denoise.files.outputs.platform.node", lambda: "this")
        return put(new, path)

    monkeypatch.setattr("denoise.files.outputs.platform.node", lambda: "this")
    monkeypatch.setattr(series_parts, "_put_first", late)
    code, _, stderr = do_part("1/2")
    assert code == 0, stderr
    assert Path("out.tif").read_bytes() == expected


def test_a_part_that_comes_late_finds_the_result(expected: bytes) -> None:
    write, joined = SeriesParts.write, []

    def late(self: SeriesParts, number: int, denoised: ImageFile) -> None:
        if not joined:  # another machine does all of it meanwhile
            joined.append(number)
            assert do_part("1/1")[0] == 0
        write(self, number, denoised)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeriesParts, "write", late)
        code, stdout, stderr = do_part("1/2")
    assert code == 0, stderr
    assert "left to other parts" not in stdout
    assert Path("out.tif").read_bytes() == expected
    assert not Path(".out.tif.parts").exists()


def test_the_input_is_not_replaced_by_parts() -> None:
    code, _, stderr = run_cli(
        "stack.tif", *SIGMA, "-o", "stack.tif", "--overwrite", "--shard", "1/2"
    )
    assert code == 1
    assert "stack.tif: is the input; --shard needs another output" in stderr


@pytest.mark.parametrize("option", ["--reference", "--residual"])
def test_a_part_writes_nothing_else(option: str) -> None:
    Path("given.tif").write_bytes(Path("stack.tif").read_bytes())
    code, _, stderr = do_part("1/2", option, "given.tif" if option == "--reference" else "r.tif")
    assert code == 1
    assert "its parts are joined to one file; leave out --reference and what else" in stderr


def test_several_files_are_shared_out_as_a_whole() -> None:
    Path("in").mkdir()
    for name in ("a.tif", "b.tif"):
        Path("in", name).write_bytes(Path("stack.tif").read_bytes())
    code, stdout, _ = run_cli("in", *SIGMA, "-o", "results", "--shard", "2/2", "--json")
    assert code == 0
    (report,) = [json.loads(line) for line in stdout.splitlines()]
    assert (report["input"], report["images"], report["shard"]) == ("in/b.tif", 8, "2/2")
    assert [path.name for path in Path("results").iterdir()] == ["b.tif"]


def test_a_job_for_another_folder_keeps_its_part() -> None:
    job = FileJob(Path("stack.tif"), Path("out.tif"), shard=Shard(2, 3)).absolute()
    assert (job.shard, job.image) == (Shard(2, 3), Path.cwd() / "stack.tif")
