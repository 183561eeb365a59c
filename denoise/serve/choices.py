"""What the page may choose, as options of the command `denoise`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, get_args

import typer

from denoise.cli.main import app, as_argument
from denoise.cli.options import Files, RunOptions, check_together
from denoise.cli.parser import filled
from denoise.cli.settings import Settings
from denoise.errors import OptionError
from denoise.options import NoiseKind
from denoise.presets import PRESETS

# Numbers and texts are checked by the parser of the command. Not even their form lets a value
# become another option, and no value is the name of a file.
VALUES = ("sigma", "strength", "time_budget", "frame", "seed")
NAMES: dict[str, Sequence[str]] = {"preset": tuple(PRESETS), "noise": get_args(NoiseKind)}
FLAGS = {"fill_missing": "--fill-missing", "keep_outliers": "--keep-outliers"}


def options_of(choices: Mapping[str, Any]) -> list[str]:
    """The options of the command that stand for choices of the page; None leaves one open.

    Raises
    ------
    OptionError
        If there is no such choice.
    """
    options = []
    for name, value in choices.items():
        if value is None or value is False:
            continue
        if name in FLAGS and value is True:
            options.append(FLAGS[name])
        elif name in NAMES and value in NAMES[name]:
            options.append(f"--{name}={value}")
        elif name in VALUES and isinstance(value, str | int | float):
            options.append(f"--{name.replace('_', '-')}={value}")
        else:
            raise OptionError(f"{name}: {value!r} cannot be chosen")
    return options


def settings_of(options: Sequence[str]) -> Settings:
    """The settings that the command would have with these options.

    Raises
    ------
    OptionError
        If it would refuse them.
    """
    command = typer.main.get_command(app)
    try:
        values = command.make_context("denoise", ["image", *options]).params
    except typer.BadParameter as error:
        raise OptionError(error.format_message()) from None
    settings = filled(Settings, values)
    check_together(filled(Files, values), settings, filled(RunOptions, values))
    return settings


def command_line(name: str, options: Sequence[str]) -> str:
    """What to type to get the same file, for an image in the current folder.

    Parameters
    ----------
    name : of the image's file; folders before it are left out
    """
    return shlex.join(["denoise", as_argument(PurePath(name).name), *options])
