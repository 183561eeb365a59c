"""`denoise --method vq-vae`: other methods than a preset on the command line."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import contents, noisy_file, step_image
from conftest import run_cli as run
from image_samples import tiff_bytes

from denoise.files.images import read_image, write_image
from denoise.methods.table import METHODS
from denoise.noise.gaussian import add_gaussian_noise


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a clean and a noisy image."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("noisy.png"), clean=Path("clean.png"))
    return tmp_path


OTHER_VAES = [name for name, method in METHODS.items() if method.kind == "vae"]


@pytest.mark.usefixtures("small_vaes")
@pytest.mark.parametrize("name", OTHER_VAES)
def test_a_vae_denoises_a_file_and_reports_how_it_went(folder: Path, name: str) -> None:
    arguments = ("noisy.png", "--sigma", "20", "--model", name, "--reference", "clean.png")
    budget = ("--epochs", "3", "--training-patches", "200")
    code, stdout, _ = run(*arguments, *budget, "--json", "--figure", "f.png")
    assert code == 0
    report = json.loads(stdout)
    assert (report["model"], report["preset"], report["elbo"]) == (name, None, None)
    assert report["settings"]["training"]["epochs"] == 3
    assert report["settings"]["training"]["patch_budget"] == 200
    assert np.isfinite(report["diagnostics"]["loss"])
    assert np.isfinite(report["psnr"])
    assert read_image(Path("f.png")).channels == 3
    first = Path("noisy_denoised.png").read_bytes()
    code, stdout, stderr = run(*arguments, *budget, "--overwrite")
    assert code == 0
    assert f"loss {report['diagnostics']['loss']:.4g}" in stdout
    assert "learning" in stderr
    assert Path("noisy_denoised.png").read_bytes() == first


@pytest.mark.parametrize("name", ["gm-vae", "nl-means", "tv"])
def test_a_method_can_handle_photon_noise(folder: Path, name: str) -> None:
    generator = np.random.default_rng(0)
    clean = np.repeat(np.repeat(np.linspace(20, 200, 64).reshape(8, 8), 8, 0), 8, 1)
    Path("light.tif").write_bytes(tiff_bytes(generator.poisson(clean).astype(np.float32)))
    Path("light_clean.tif").write_bytes(tiff_bytes(clean.astype(np.float32)))
    arguments = ("light.tif", "--noise", "poisson-gaussian", "--sensor", "1,0.5")
    code, stdout, _ = run(*arguments, "--method", name, "--reference", "light_clean.tif", "--json")
    assert code == 0
    report = json.loads(stdout)
    assert report["psnr"] > report["psnr_noisy"] + 3
    assert (report["sigma"], report["sensor"]["read_sigma"]) == (None, 0.5)


@pytest.mark.parametrize("name", ["blur", "tv", "nl-means", "wavelet", "noisy"])
@pytest.mark.parametrize("colour", [False, True], ids=["gray", "colour"])
def test_a_classic_filter_denoises_a_file(folder: Path, name: str, colour: bool) -> None:
    if name == "wavelet":
        pytest.importorskip("pywt")
    clean = step_image(48, 40)
    if colour:
        clean = np.stack([clean, clean / 2, 200 - clean], -1)
    noisy = add_gaussian_noise(clean, 20, generator=np.random.default_rng(1))
    write_image(Path("c.png"), clean, overwrite=False)
    write_image(Path("n.png"), noisy, overwrite=False)
    code, stdout, _ = run("n.png", "--method", name, "--reference", "c.png", "--json")
    assert code == 0
    report = json.loads(stdout)
    assert (report["model"], report["preset"], report["device"]) == (name, None, "cpu")
    assert (report["sigma_source"], report["settings"], report["elbo"]) == ("estimated", None, None)
    assert report["psnr"] > report["psnr_noisy"] + (0 if name == "noisy" else 2) - 1e-9
    if name == "noisy":
        assert np.array_equal(
            read_image(Path("n_denoised.png")).pixels, read_image(Path("n.png")).pixels
        )


@pytest.mark.parametrize("sample_type", ["uint16", "float32"])
def test_a_classic_filter_minds_no_units(folder: Path, sample_type: str) -> None:
    """The result for 16 bits and for floats is that for bytes, on their scales."""
    pixels = read_image(Path("noisy.png")).pixels
    assert run("noisy.png", "--sigma", "20", "--method", "wavelet", "-o", "bytes.png")[0] == 0
    expected = read_image(Path("bytes.png")).pixels
    samples, sigma = (np.rint(pixels * 257).astype(np.uint16), "20")
    if sample_type == "float32":
        samples, sigma = (pixels / 51 - 2).astype(np.float32), str(20 / 51)
    Path("n.tif").write_bytes(tiff_bytes(samples))
    assert run("n.tif", "--sigma", sigma, "--method", "wavelet", "-o", "out.tif")[0] == 0
    result = read_image(Path("out.tif"))
    assert result.sample_type == sample_type
    found = result.pixels if sample_type == "uint16" else 51 * (result.pixels + 2)
    np.testing.assert_allclose(found, expected, atol=0.6)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("name", ["fast", "vae", "vae-mlp", "tvae"])
def test_our_own_methods_have_all_that_we_can_report(folder: Path, name: str) -> None:
    extras = ("--curve", "c.csv", "--uncertainty", "u.npy", "--save-model", "m.npz")
    code, stdout, _ = run("noisy.png", "--sigma", "20", "--method", name, *extras, "--json")
    assert code == 0
    report = json.loads(stdout)
    preset = {"fast": "fast", "tvae": "balanced"}.get(name)
    assert report["preset"] == preset
    assert report["model"] == (name if preset is None else "tvae")
    assert (report["diagnostics"] is None) == (preset is not None)
    assert all(Path(one).exists() for one in ("c.csv", "u.npy", "m.npz"))


@pytest.mark.skipif(find_spec("bm3d") is not None, reason="needs a machine without BM3D's package")
def test_a_package_that_is_missing_is_named_in_one_line(folder: Path) -> None:
    code, stdout, stderr = run("noisy.png", "--sigma", "20", "--method", "bm3d")
    assert (code, stdout) == (1, "")
    assert stderr.startswith("error: noisy.png: bm3d needs the package of its authors")
    assert stderr.endswith("pip install bm3d\n")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    "option",
    [
        ("--preset", "fast"),
        ("--decoder", "mlp"),
        ("--time-budget", "9s"),
        ("--learn-sigma",),
        ("--curve", "c.csv"),
        ("--uncertainty", "u.npy"),
        ("--save-model", "m.npz"),
        ("--load-model", "m.npz"),
    ],
)
def test_options_of_our_own_model_are_refused(folder: Path, option: tuple[str, ...]) -> None:
    before = contents(folder)
    for method in ("vq-vae", "zs-n2n", "nl-means"):
        code, _, stderr = run("noisy.png", "--model", method, *option)
        assert code == 2
        assert f"cannot be used with --method {method}" in " ".join(stderr.split())
    assert contents(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("--method", "tv", "--epochs", "3"),
        ("--method", "zs-n2n", "--training-patches", "30"),
        ("--method", "zs-n2n", "--show-model", "m.png"),
        ("--method", "nl-means", "--show-model", "m.png"),
        ("--method", "fast", "--preset", "best"),
        ("--method", "vae", "--preset", "best"),
        ("--method", "vae", "--decoder", "mlp"),
        ("--method", "magic"),
    ],
)
def test_options_that_a_method_does_not_have_are_refused(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    before = contents(folder)
    assert run("noisy.png", *arguments)[0] == 2
    assert contents(folder) == before


def test_what_another_method_cannot_do_is_one_clear_line(folder: Path) -> None:
    pixels = read_image(Path("noisy.png")).pixels.copy()
    pixels[3, 4] = np.nan
    Path("hole.tif").write_bytes(tiff_bytes(pixels))
    for method in ("vq-vae", "tv"):
        code, _, stderr = run("hole.tif", "--sigma", "20", "--model", method, "--fill-missing")
        assert code == 1
        assert stderr == (
            "error: hole.tif: the image has missing values, which only our own models and"
            " biharmonic fill in\n"
        )
