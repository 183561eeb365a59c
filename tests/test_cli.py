"""The command end to end: exit codes, what it prints where, and what it leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import contents, step_image
from conftest import run_cli as run
from PIL import Image
from typer.testing import CliRunner

from denoise import __version__
from denoise.cli.main import app
from denoise.cli.values import parse_time
from denoise.files.images import read_image, write_image
from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a clean and a noisy image, gray and RGB."""
    monkeypatch.chdir(tmp_path)
    clean = step_image()
    for name, image in {
        "gray": clean,
        "rgb": np.stack([clean, clean / 2, 200 - clean], -1),
    }.items():
        noisy = add_gaussian_noise(image, 20, generator=np.random.default_rng(0))
        write_image(Path(f"{name}.png"), image, overwrite=False)
        write_image(Path(f"{name}_noisy.png"), noisy, overwrite=False)
    return tmp_path


@pytest.mark.parametrize("name", ["gray", "rgb"])
def test_writes_next_to_the_input_and_prints_one_line(folder: Path, name: str) -> None:
    before = contents(folder)
    code, stdout, stderr = run(f"{name}_noisy.png", "--sigma", "20")
    assert code == 0
    assert stdout.count("\n") == 1
    for part in (f"{name}_noisy.png", "24x24", "cpu", "sigma 20", " s,", "ELBO", "denoised.png"):
        assert part in stdout
    assert "PSNR" not in stdout
    assert "learning: 4x4 patches, epoch 4/4, ELBO" in stderr
    after = contents(folder)
    new = set(after) - set(before)
    assert new == {str(folder / f"{name}_noisy_denoised.png")}
    assert {path: after[path] for path in before} == before
    with Image.open(new.pop()) as image:
        assert image.mode == {"gray": "L", "rgb": "RGB"}[name]
        assert image.size == (24, 24)


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_the_output_has_the_format_of_the_input_or_of_its_own_name(
    folder: Path, suffix: str
) -> None:
    image = read_image(folder / "rgb_noisy.png")
    write_image(folder / f"photo{suffix}", image.pixels, overwrite=False)
    assert run(f"photo{suffix}", "--sigma", "20")[0] == 0
    assert run(f"photo{suffix}", "--sigma", "20", "-o", "photo.png")[0] == 0
    formats = {".jpg": "JPEG", ".tiff": "TIFF"}
    with Image.open(f"photo_denoised{suffix}") as written:
        assert (written.format, written.mode, written.size) == (formats[suffix], "RGB", (24, 24))
    with Image.open("photo.png") as written:
        assert written.format == "PNG"


def test_reference_adds_the_quality_of_the_written_file(folder: Path) -> None:
    code, stdout, _ = run("gray_noisy.png", "--sigma", "20", "--reference", "gray.png")
    assert code == 0
    clean, noisy, denoised = (
        read_image(folder / name).pixels
        for name in ("gray.png", "gray_noisy.png", "gray_noisy_denoised.png")
    )
    expected = f"PSNR {psnr(clean, noisy):.2f} -> {psnr(clean, denoised):.2f} dB"
    assert expected in stdout
    assert "SSIM" in stdout


def test_json_is_one_object_and_nothing_else(folder: Path) -> None:
    arguments = ["gray_noisy.png", "--sigma", "20", "--json", "--seed", "7"]
    code, stdout, _ = run(*arguments, "--reference", "gray.png", "-o", "a.png")
    assert code == 0
    report = json.loads(stdout)
    assert stdout.count("\n") == 1
    assert report["input"] == "gray_noisy.png"
    assert report["output"] == "a.png"
    assert (report["width"], report["height"], report["channels"]) == (24, 24, 1)
    assert (report["sigma"], report["seed"], report["device"]) == (20, 7, "cpu")
    assert report["version"] == __version__
    assert report["preset"] == "balanced"
    assert report["psnr"] > report["psnr_noisy"]
    assert -1 <= report["ssim"] <= 1
    _, stdout, _ = run(*arguments, "-o", "b.png")
    assert json.loads(stdout)["psnr"] is None
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


def test_quiet_prints_nothing_and_verbose_tells_every_epoch(folder: Path) -> None:
    assert run("gray_noisy.png", "--sigma", "20", "-q") == (0, "", "")
    code, stdout, stderr = run("gray_noisy.png", "--sigma", "20", "-v", "--overwrite")
    assert code == 0
    assert stdout.count("\n") == 1
    assert "'patch_sizes': (4,)" in stderr
    for epoch in range(1, 5):
        assert f"epoch {epoch}/4" in stderr


def test_settings_can_be_overridden(folder: Path) -> None:
    extra = ["--epochs", "2", "--training-patches", "50", "--learn-sigma"]
    code, _, stderr = run("gray_noisy.png", "--sigma", "20", "-v", *extra)
    assert code == 0
    assert "'epochs': 2, 'patch_budget': 50" in stderr
    assert "'learn_noise_variance': True" in stderr
    assert "epoch 2/2" in stderr


def test_figure_shows_the_images_side_by_side(folder: Path) -> None:
    arguments = ["rgb_noisy.png", "--sigma", "20", "--reference", "rgb.png", "--figure", "f.png"]
    assert run(*arguments)[0] == 0
    with Image.open("f.png") as figure:
        assert figure.mode == "RGB"
        assert 4 * 256 < figure.width < 5 * 264
    assert run("gray_noisy.png", "--sigma", "20", "--figure", "g.png")[0] == 0
    with Image.open("g.png") as figure:
        assert 3 * 256 < figure.width < 4 * 264


def test_overwrite_is_needed_and_replaces(folder: Path) -> None:
    arguments = ["gray_noisy.png", "--sigma", "20", "-o", "gray.png"]
    before = contents(folder)
    code, stdout, stderr = run(*arguments)
    assert (code, stdout) == (1, "")
    advice = "use --overwrite to replace it or choose another name"
    assert stderr == f"error: gray.png: exists already; {advice}\n"
    assert contents(folder) == before
    assert run(*arguments, "--overwrite")[0] == 0
    assert contents(folder) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png"], "none.png: no such file"),
        (["text.png"], "text.png: not an image"),
        (["small.png"], "small.png: the image is 3x24 pixels, smaller than one 4x4 patch"),
        (["gray_noisy.png", "--reference", "rgb.png"], "rgb.png: the reference is 24x24 RGB, but"),
        (["gray_noisy.png", "--reference", "small.png"], "small.png: the reference is 3x24 gray"),
        (["gray_noisy.png", "--reference", "none.png"], "none.png: no such file"),
        (["gray_noisy.png", "-o", "text.png/out.png"], "text.png/out.png: cannot be written"),
        (["gray_noisy.png", "-o", "out.docx"], "out.docx: unknown file type"),
        (["notes.txt"], "notes.txt: not an image"),
        (["gray_noisy.png", "--figure", "text.png/f.png"], "text.png/f.png: cannot be written"),
        (["gray_noisy.png", "--figure", "gray.png"], "gray.png: exists already"),
    ],
)
def test_mistakes_get_one_line_and_leave_no_trace(
    folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "text.png").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    write_image(folder / "small.png", np.zeros((24, 3)), overwrite=False)
    before = contents(folder)
    code, stdout, stderr = run(*arguments, "--sigma", "20")
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"error: {message}")
    assert stderr.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA GPU")
def test_a_gpu_that_is_not_there_is_an_error(folder: Path) -> None:
    arguments = ["gray_noisy.png", "--sigma", "20", "--device", "cuda"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr == (
        "error: device cuda: PyTorch finds 0 CUDA GPUs on this machine; use --device cpu\n"
    )
    assert not Path("gray_noisy_denoised.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gray.png", "--sigma", "20", "--skip-existing", "--overwrite"], "--overwrite"),
        (["gray.png", "--sigma", "20", "--noise", "poisson-gaussian"], "--sigma"),
        (["gray.png", "--noise", "gaussian", "--sensor", "1,2"], "--sensor"),
        (
            ["gray.png", "--noise", "poisson-gaussian", "--sensor", "1"],
            "numbers such as 1.5,4 or 1.5,4,100",
        ),
        (["gray_noisy.png", "-o", "a.png", "--figure", "./a.png"], "a.png would be written twice"),
        (["gray.png", "-o", "rgb.png", "--reference", "rgb.png"], "is read as rgb.png"),
        (["gray.png", "-o", "gray.png", "--reference", "gray.png"], "is read as gray.png"),
        (["gray.png", "-o", "a.png", "--suffix", "_x"], "names the file already"),
        (["gray.png", "--suffix", "x/y"], "give the folder with -o"),
        (["gray.png", "-o", ""], "a name is empty"),
        (["", "-o", "out"], "a name is empty"),
        (["gray.png", "rgb.png", "-o", "one.png"], "several images need a folder"),
        (["gray.png", "rgb.png", "--figure", "one.png"], "several images need a folder"),
        (["gray.png", "-q", "-v"], "--verbose"),
        (["gray.png", "--noise", "salt"], "one of auto, gaussian, poisson-gaussian"),
        (["-", "gray.png"], "one image at a time goes through a pipe"),
        (["gray.png", "-o", "-", "--json"], "--json"),
        (["gray.png", "rgb.png", "--reference", "gray.png"], "need a folder of references"),
        (["--sigma", "20"], "IMAGE"),
        (["gray.png", "--sigma", "-1"], "must be a finite number of at least 0, got -1.0"),
        (["gray.png", "--sigma", "inf"], "must be a finite number of at least 0, got inf"),
        (["gray.png", "--sigma", "nan"], "must be a finite number of at least 0, got nan"),
        (["gray.png", "--sigma", "lots"], "--sigma"),
        (["gray.png", "--sigma", "20", "--load-model", "m", "--epochs", "9"], "--epochs"),
        (["gray.png", "--sigma", "20", "--load-model", "m", "--fix-sigma"], "--load-model"),
        (["gray.png", "--sigma", "20", "--time-budget", "9s", "--epochs", "9"], "--epochs"),
        (
            ["gray.png", "--sigma", "20", "--preset", "magic"],
            "'magic' is not one of 'fast', 'balanced', 'best', 'paper'",
        ),
        (["gray.png", "--sigma", "20", "--epochs", "0"], "--epochs"),
        (["gray.png", "--sigma", "20", "--decoder", "cnn"], "not one of 'amplitude', 'mlp'"),
        (["gray.png", "--sigma", "20", "--preset", "paper", "--decoder", "amplitude"], "'mlp'"),
        (["gray.png", "--sigma", "20", "--time-budget", "soon"], "a time such as 30s or 5min"),
        (["gray.png", "--sigma", "20", "--time-budget", "0s"], "a time such as 30s or 5min"),
        (["gray.png", "--sigma", "20", "--seed", str(2**64)], "--seed"),
        (["gray.png", "--sigma", "20", "--wat"], "--wat"),
    ],
)
def test_usage_mistakes_exit_with_2(folder: Path, arguments: list[str], message: str) -> None:
    before = contents(folder)
    code, stdout, stderr = run(*arguments)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("30s", 30), ("30", 30), (".5 min", 30), ("2m", 120), ("1.5h", 5400)],
)
def test_a_time_has_a_unit(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


def test_version_and_help() -> None:
    assert run("--version") == (0, f"denoise {__version__}\n", "")
    code, stdout, _ = run("--help")
    assert code == 0
    for option in ("--sigma", "--output", "--reference", "--seed", "--device", "--preset"):
        assert option in stdout
