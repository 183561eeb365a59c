"""What the page may choose, as options and as a command line that can be pasted."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

pytest.importorskip("starlette", reason="needs starlette: pip install '.[serve]'")

from denoise.errors import OptionError
from denoise.serve.choices import command_line, options_of, settings_of
from denoise.serve.command import app as serve_app


def test_images_that_are_not_there_are_said_at_once(tmp_path):
    (tmp_path / "text.png").write_text("text")
    for name, reason, code in (
        ("nothing.png", "nothing.png: no such file", 1),
        ("text.png", "text.png: not an image", 1),
        (".", "no image", 2),
    ):
        folder = tmp_path if name != "." else tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        result = CliRunner().invoke(serve_app, [str(folder / name)])
        assert result.exit_code == code
        assert reason in result.stderr


def test_choices_are_options_of_the_command():
    choices = {
        "preset": "fast",
        "noise": None,
        "sigma": 25,
        "time_budget": "30s",
        "fill_missing": True,
        "keep_outliers": False,
    }
    options = options_of(choices)
    assert options == ["--preset=fast", "--sigma=25", "--time-budget=30s", "--fill-missing"]
    settings = settings_of(options)
    assert (settings.preset, settings.sigma, settings.time_budget) == ("fast", 25, 30)
    assert settings.fill_missing
    assert settings.fill_outliers
    with pytest.raises(OptionError, match="must be a number or auto"):
        settings_of(["--sigma=x"])


def test_the_command_line_is_safe_to_paste():
    assert command_line("a.png", []) == "denoise a.png"
    assert command_line("a b';rm.png", ["--sigma=3"]) == """denoise 'a b'"'"';rm.png' --sigma=3"""
    assert command_line("-o.png", []) == "denoise ./-o.png"
    assert command_line("/home/me/a.png", []) == "denoise a.png"
    assert command_line("serve", []) == "denoise ./serve"
