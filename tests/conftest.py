"""Shared builders: tiny models and images, and the data that only some checkouts have."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from typer.testing import CliRunner

from denoise.cli.main import app
from denoise.files.images import write_image
from denoise.noise.gaussian import add_gaussian_noise, estimate_gaussian
from denoise.options import (
    DenoiseOptions,
    InferenceOptions,
    ModelOptions,
    RefinementOptions,
    SearchOptions,
    TrainingOptions,
)
from denoise.patches import Patches
from denoise.pipeline.budget import Speed
from denoise.presets import NO_OVERRIDES, Overrides, override
from denoise.vae.amplitude_vae import AmplitudeVAE
from denoise.vae.mlp import MLP
from denoise.vae.mlp_vae import MLPVAE

if TYPE_CHECKING:
    from page_server import PageServer

# Without a GPU, Triton's kernels run in its interpreter, which it decides when they are imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The tensors of these tests are too small to share out between threads.
torch.set_num_threads(1)

# The same examples on every run, and no clock: a slow machine is no failure.
settings.register_profile("stable", derandomize=True, deadline=None, max_examples=50, database=None)
settings.load_profile("stable")

# Processes that tests start run this checkout's code on one thread each.
ROOT = Path(__file__).parents[1]
PROCESS_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

# The names of a browser that playwright can drive.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SAMPLES = ROOT / "sample_images"
SHARED_DATA = ROOT.parent / "shared" / "data"

# Small enough for a 24×24 image in a second, and still learning something.
TINY = DenoiseOptions(
    model=ModelOptions(
        patch_sizes=(4,), decoder="mlp", latents=12, hidden=(16,), expected_active=2.0
    ),
    search=SearchOptions(states=6, parents=2, children=3, mutation="guided"),
    training=TrainingOptions(
        epochs=4, patch_budget=200, batch_size=100, initial_noise=1.0, annealing=0.0
    ),
    inference=InferenceOptions(pool_size=32, search_steps=2, chunk_size=1000),
)
TINY_AMPLITUDE = replace(
    TINY,
    model=ModelOptions(patch_sizes=(4, 3), latents=12, expected_active=2.0, max_active=4),
    search=SearchOptions(states=6, parents=2, children=3),
    training=TrainingOptions(epochs=4, patch_budget=200, batch_size=100),
    refinement=RefinementOptions(
        patch_sizes=(4,), window=5, group_size=20, noise_kept=(1.0, 0.5, 0.0)
    ),
)


def make_mlp_vae(
    latents: int = 4,
    values: int = 6,
    *,
    free_patch_mean: bool = False,
    seed: int = 0,
    hidden: tuple[int, ...] = (5,),
) -> MLPVAE:
    """A float64 model with distinct random parameters everywhere."""
    generator = torch.Generator().manual_seed(seed)
    mlp = MLP((latents, *hidden, values), leak=0.1, generator=generator).double()
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return MLPVAE(mlp, *_prior_and_noise(latents, generator), free_patch_mean=free_patch_mean)


def make_amplitude_vae(
    latents: int = 4, values: int = 6, *, free_patch_mean: bool = False, seed: int = 0
) -> AmplitudeVAE:
    """The same with amplitudes."""
    generator = torch.Generator().manual_seed(seed)
    prior, noise = _prior_and_noise(latents, generator)
    vectors = torch.randn(latents, values, generator=generator, dtype=torch.float64)
    return AmplitudeVAE(vectors, prior, noise, free_patch_mean=free_patch_mean)


def _prior_and_noise(latents: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    prior = 0.1 + 0.5 * torch.rand(latents, generator=generator, dtype=torch.float64)
    return prior, torch.tensor(0.7, dtype=torch.float64)


def make_patches(
    count: int = 5, values: int = 6, *, missing: bool = False, seed: int = 1
) -> Patches:
    """Random float64 patches; with `missing`, about a third of the values are."""
    generator = torch.Generator().manual_seed(seed)
    raw = 1.5 * torch.randn(count, values, generator=generator, dtype=torch.float64)
    if missing:
        raw[torch.rand(count, values, generator=generator) < 0.35] = torch.nan
    return Patches.from_raw(raw, 3 + 7 * torch.arange(count))


def all_states(latents: int, count: int) -> torch.Tensor:
    """Every one of the 2^H states, for each of `count` patches: (count, 2^H, H)."""
    codes = torch.arange(2**latents)[:, None] >> torch.arange(latents)
    return (codes & 1).bool().expand(count, -1, -1).contiguous()


def step_image(height: int = 24, width: int = 24) -> np.ndarray:
    """A clean gray image of a few flat areas and a slope, 0..255."""
    rows, columns = np.mgrid[:height, :width]
    return 60.0 + 100.0 * (columns > width / 2) + 60.0 * (rows > height / 3) - columns


def estimated_sigma(image: np.ndarray) -> float:
    """What is measured in an image; 0 where no noise is found."""
    noise = estimate_gaussian(image)
    return 0.0 if noise is None else noise.sigma


def learn_tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn a tiny model whatever the preset."""

    def tiny(
        name: str,
        sigma: float,
        data_range: float,
        overrides: Overrides = NO_OVERRIDES,
        *,
        correlated: bool = False,
    ) -> DenoiseOptions:
        fixed = {"vae": "amplitude", "vae-mlp": "mlp"}.get(name, overrides.decoder)
        return override(TINY_AMPLITUDE if fixed == "amplitude" else TINY, overrides)

    monkeypatch.setattr("denoise.pipeline.run.preset_for", tiny)


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_tiny_models(monkeypatch)


@pytest.fixture
def small_vaes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks that learn for a moment only, in every method with a VAE of its own."""
    from denoise.methods.vaes.other_vaes import DEFAULTS

    for name, options in DEFAULTS.items():
        training = replace(options.training, epochs=2)
        posterior = options.posterior and replace(options.posterior, epochs=1)
        small = replace(options, hidden=(16,), training=training, posterior=posterior)
        monkeypatch.setitem(DEFAULTS, name, small)


def run_cli(*arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, in this process."""
    result = CliRunner().invoke(app, ["--device", "cpu", *arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def in_this_process(work: object, tasks: Sequence[object], **_: object) -> Iterator[object]:
    """Instead of worker processes; as with them, tasks and results are pickled."""
    do = pickle.loads(pickle.dumps(work))
    return (pickle.loads(pickle.dumps(do(pickle.loads(pickle.dumps(one))))) for one in tasks)


def documented_keys(title: str) -> set[str]:
    """The keys in the table of a section of docs/json.md."""
    page = (ROOT / "docs" / "json.md").read_text()
    section = page.partition(f"# {title}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name.strip(" `") for row in rows for name in row.split(",")}


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noisy_file(path: Path, *, clean: Path | None = None, seed: int = 0) -> None:
    """Write `step_image` with noise of sigma 20, and without noise to `clean` if given."""
    generator = np.random.default_rng(seed)
    write_image(path, add_gaussian_noise(step_image(), 20, generator=generator), overwrite=False)
    if clean is not None:
        write_image(clean, step_image(), overwrite=False)


@pytest.fixture
def known_speed(monkeypatch: pytest.MonkeyPatch) -> float:
    """A machine on which every piece of work of a forecast takes so many seconds."""
    seconds = 1e-5
    speed = Speed(seconds, seconds, seconds)
    monkeypatch.setattr("denoise.pipeline.forecast.measure_speed", lambda *_, **__: speed)
    return seconds


@pytest.fixture
def report_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_preset: None) -> Path:
    """A working folder with noisy images, one with a clean one."""
    monkeypatch.chdir(tmp_path)
    noisy_file(Path("in/a.png"), clean=Path("ref/a.png"))
    noisy_file(Path("in/sub/b.png"), seed=1)
    return tmp_path


@pytest.fixture
def batch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_preset: None) -> Path:
    """Three noisy images, in a folder and its subfolder, with clean ones beside."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png", "sub/c.png")):
        noisy_file(Path("in") / name, clean=Path("clean") / name, seed=seed)
    return tmp_path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy image with a space in its name."""
    path = tmp_path_factory.mktemp("image") / "noisy photo.png"
    noisy_file(path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server that was started without an image."""
    from page_server import PageServer  # which needs this module

    running = PageServer(tmp_path_factory.mktemp("private"), [])
    yield running
    assert running.end() == ""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install '.[browser]'"
    )
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium on the PATH")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page of 800×600; an error in its scripts fails the test, a request that is refused not."""
    context = chromium.new_context(viewport={"width": 800, "height": 600})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def hear(message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    page.on("console", hear)
    yield page
    context.close()
    assert errors == []
