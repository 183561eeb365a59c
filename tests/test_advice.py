"""Advice can be followed: every option that a message names is one of the command that says it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main
from conftest import run_cli
from image_samples import tiff_bytes
from typer.testing import CliRunner

import denoise
from denoise.cli.benchmark import app as benchmark_app
from denoise.cli.finish import app as finish_app
from denoise.cli.info import app as info_app
from denoise.cli.main import app as main_app
from denoise.cli.noise import app as noise_app
from denoise.serve.command import app as serve_app

ROOT = Path(denoise.__file__).parent
OPTION = re.compile(r"--[a-z][a-z-]+")
COMMANDS = {
    "denoise": main_app,
    "denoise finish": finish_app,
    "denoise info": info_app,
    "denoise noise": noise_app,
    "denoise benchmark": benchmark_app,
    "denoise serve": serve_app,
}
# Modules whose messages a command can print.
MEASURING = ("cli/noise.py", "files/", "noise/")
BENCHMARKING = ("benchmark/", "cli/benchmark", "methods/", "vae/training.py", "devices.py")
# Said when JPEG is written or folders are searched, which these do not do.
LOOKING = ("info", "noise")
NOT_SAID = {(f"denoise {name}", f"--{one}") for name in LOOKING for one in ("strip", "recursive")}


def messages() -> Iterator[tuple[str, str]]:
    """Module and option for each option in a string that is no docstring."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in docstrings:
                for name in OPTION.findall(str(node.value)):
                    yield path.relative_to(ROOT).as_posix(), name


def speakers(module: str) -> set[str]:
    """The commands that can print a message of a module."""
    if module == "serve/command.py":
        return {"denoise serve"}
    found = set()
    if module.startswith(MEASURING):
        found.add("denoise noise")
    if module.startswith(("files/", "noise/")):
        found.add("denoise info")
    if module.startswith(BENCHMARKING):
        found.add("denoise benchmark")
    if not module.startswith(("benchmark/", "cli/benchmark", "cli/noise.py")):
        found.add("denoise")
    return found


def options_of(command: str) -> set[str]:
    parameters = typer.main.get_command(COMMANDS[command]).params
    return {name for one in parameters for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_every_option_in_a_message_exists() -> None:
    known = {command: options_of(command) for command in COMMANDS}
    found = list(messages())
    assert len(found) > 40
    for module, name in found:
        for command in speakers(module):
            if (command, name) not in NOT_SAID:
                assert name in known[command], f"{module} names {name}, {command} has none"


def options_in(text: str) -> set[str]:
    return set(OPTION.findall(text))


# `denoise info` describes a file of several images, and on the page it is the page that says so.
@pytest.mark.parametrize(
    "command", [one for one in COMMANDS if one not in ("denoise info", "denoise serve")]
)
def test_advice_about_files_of_several_images_and_folders_of_none(
    command: str, tmp_path: Path
) -> None:
    stack = tmp_path / "stack.tif"
    stack.write_bytes(tiff_bytes(np.zeros((3, 24, 24), np.uint8), photometric="minisblack"))
    (tmp_path / "empty").mkdir()
    for path in (stack, tmp_path / "empty"):
        arguments = [str(path)]
        if command == "denoise benchmark":
            arguments = ["--images", str(path), "--methods", "noisy"]
        if command == "denoise":  # which there is of one image only
            arguments += ["--figure", str(tmp_path / "figure.png")]
        result = CliRunner().invoke(COMMANDS[command], arguments)
        assert result.exit_code != 0
        assert options_in(result.stderr) <= options_of(command), result.stderr


def test_the_advice_helps(tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    stack.write_bytes(tiff_bytes(np.zeros((3, 24, 24), np.uint8), photometric="minisblack"))
    figure = ["--figure", str(tmp_path / "figure.png")]
    assert "choose it with --frame" in run_cli(str(stack), *figure)[2]
    assert run_cli(str(stack), *figure, "--frame", "2")[0] == 0
