"""Which files a command is about: folders, patterns, trees, and names that collide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from denoise.cli.options import Files
from denoise.cli.plan import Plan, plan_jobs
from denoise.errors import PlanError


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images here and below, and files that are none; planning does not open them."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.png", "in/a.tif", "in/notes.txt", "in/sub/c.PNG", "in/sub/b.png", "x y.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("in/.hidden.png").touch()
    Path("in/.cache").mkdir()
    Path("in/.cache/d.png").touch()
    return tmp_path


def plan(*inputs: str, **names: Any) -> Plan:
    return plan_jobs(Files(images=list(inputs), **names))


def pairs(planned: Plan) -> list[tuple[str, str]]:
    return [(str(job.image), str(job.output)) for job in planned.jobs]


def test_a_folder_means_its_images_sorted_and_hidden_ones_left_out() -> None:
    assert pairs(plan("in")) == [
        ("in/a.tif", "in/a_denoised.tif"),
        ("in/b.png", "in/b_denoised.png"),
    ]


def test_recursion_mirrors_the_tree_in_the_output_folder() -> None:
    assert pairs(plan("in", output="out", recursive=True)) == [
        ("in/a.tif", "out/a.tif"),
        ("in/b.png", "out/b.png"),
        ("in/sub/b.png", "out/sub/b.png"),
        ("in/sub/c.PNG", "out/sub/c.PNG"),
    ]
    assert not Path("out").exists()


def test_linked_folders_are_not_followed() -> None:
    os.symlink(Path("in").resolve(), "in/sub/loop")
    assert len(plan("in", recursive=True, output="out").jobs) == 4


def test_patterns_that_the_shell_left_alone_are_expanded_and_images_taken_once() -> None:
    assert pairs(plan("in/*.png", "in/b.png", "x y.png", output="out/")) == [
        ("in/b.png", "out/b.png"),
        ("x y.png", "out/x y.png"),
    ]
    assert pairs(plan("i*/**/b.png", output="out", suffix="_new")) == [
        ("in/b.png", "out/in/b_new.png"),
        ("in/sub/b.png", "out/in/sub/b_new.png"),
    ]
    Path("odd[1].png").touch()  # an existing name is no pattern
    assert pairs(plan("odd[1].png")) == [("odd[1].png", "odd[1]_denoised.png")]


def test_results_of_an_earlier_run_in_the_same_folder_are_no_inputs() -> None:
    Path("in/b_denoised.png").touch()
    assert len(plan("in").jobs) == 2
    assert len(plan("in", output="out").jobs) == 3
    assert pairs(plan("in/b_denoised.png")) == [("in/b_denoised.png", "in/b_denoised_denoised.png")]


@pytest.mark.parametrize(
    ("output", "expected"),
    [(None, "x y_denoised.png"), ("o.tif", "o.tif"), ("o/", "o/x y.png"), ("in", "in/x y.png")],
)
def test_one_image_goes_to_a_file_or_into_a_folder(output: str | None, expected: str) -> None:
    assert pairs(plan("x y.png", output=output)) == [("x y.png", expected)]


def test_inputs_without_an_image_are_problems_and_files_that_are_missing_are_not() -> None:
    Path("empty").mkdir()
    planned = plan("empty", "*.webp", "none.png", output="out")
    assert pairs(planned) == [("none.png", "out/none.png")]  # fails when its turn comes
    assert planned.problems[0].startswith("empty: holds no image (.png .jpg")
    assert planned.problems[0].endswith("--recursive looks deeper")
    assert planned.problems[1] == "*.webp: no match"


def test_a_folder_with_one_image_still_goes_into_a_folder() -> None:
    Path("one").mkdir()
    Path("one/i.png").touch()
    assert pairs(plan("one", output="out")) == [("one/i.png", "out/i.png")]
    assert pairs(plan("one/*", output="out")) == [("one/i.png", "out/i.png")]


def test_two_results_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match=r"out/b.png would be written twice, for in/b.png and"):
        plan("in/b.png", "in/sub/b.png", output="out")


def test_a_result_that_would_replace_another_input_is_refused() -> None:
    Path("b.png").touch()
    with pytest.raises(PlanError, match=r"in/b.png would be written for b.png, but is read"):
        plan("b.png", "in", output="in")
    assert pairs(plan("in/b.png", output="in/b.png")) == [("in/b.png", "in/b.png")]


def test_references_are_found_by_name_in_any_format() -> None:
    for name in ("clean/b.tif", "clean/sub/b.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    planned = plan("in", output="out", recursive=True, reference="clean")
    found = {str(job.image): str(job.reference) for job in planned.jobs if job.reference}
    assert found == {"in/b.png": "clean/b.tif", "in/sub/b.png": "clean/sub/b.png"}
    assert planned.warnings == [
        "in/a.tif: no image of this name in clean",
        "in/sub/c.PNG: no image of this name in clean",
    ]


def test_files_about_an_image_are_named_for_one_and_go_into_a_folder_for_several() -> None:
    (job,) = plan("x y.png", figure="f.png", curve="c.csv").jobs
    assert (str(job.figure), str(job.curve)) == ("f.png", "c.csv")
    jobs = plan("in", output="out", recursive=True, figure="f", uncertainty="u").jobs
    assert [str(job.figure) for job in jobs[:3]] == ["f/a.png", "f/b.png", "f/sub/b.png"]
    assert str(jobs[2].uncertainty) == "u/sub/b.npy"


def test_pipes() -> None:
    (job,) = plan("-").jobs
    assert (job.image, job.output) == (None, None)
    (job,) = plan("-", output="o.png").jobs
    assert (job.image, str(job.output)) == (None, "o.png")
    (job,) = plan("x y.png", output="-").jobs
    assert (str(job.image), job.output) == ("x y.png", None)
    with pytest.raises(PlanError, match="one image at a time"):
        plan("in", "-")


@pytest.mark.parametrize(
    ("inputs", "output", "suffix"),
    [
        (("*.png",), None, None),
        (("in",), None, None),
        (("in",), "in", "_d"),
        (("in",), "in/out", None),
        (("in/*.png",), "in", "_d"),
    ],
)
def test_the_same_command_again_means_the_same_images(
    inputs: tuple[str, ...], output: str | None, suffix: str | None
) -> None:
    first = plan(*inputs, output=output, suffix=suffix, recursive=True)
    for job in first.jobs:
        assert job.output is not None
        job.output.parent.mkdir(parents=True, exist_ok=True)
        job.output.touch()
    assert pairs(plan(*inputs, output=output, suffix=suffix, recursive=True)) == pairs(first)


def test_files_about_two_images_never_share_a_name_or_replace_an_input() -> None:
    Path("in/a.png").touch()  # beside in/a.tif
    with pytest.raises(PlanError, match=r"f/a.png would be written twice, for in/a.png and in/a"):
        plan("in", output="out", figure="f")
    with pytest.raises(PlanError, match=r"in/[ab].png would be written for .* but is read as"):
        plan("in", output="out", figure="in")


def test_two_links_to_one_file_are_two_images_and_a_folder_in_the_way_is_told() -> None:
    os.symlink("b.png", "in/link.png")
    os.symlink("loop.png", "in/loop.png")  # to itself: no file
    found = plan("in", output="out").jobs
    assert [str(job.image) for job in found] == ["in/a.tif", "in/b.png", "in/link.png"]
    assert pairs(plan("x" * 300 + ".png", output="out/"))  # fails when its turn comes


def test_references_match_whatever_the_case_of_their_suffix() -> None:
    Path("clean").mkdir()
    Path("clean/b.PNG").touch()
    (job,) = plan("in/b.png", reference="clean").jobs
    assert str(job.reference) == "clean/b.PNG"


def test_a_pipe_takes_no_folder() -> None:
    for inputs in (("in",), ("in/*.png",), ("in/b.png", "x y.png")):
        with pytest.raises(PlanError, match="one image at a time goes through a pipe"):
            plan(*inputs, output="-")
