"""What random commands are made of: files, and options of which most fit together."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from denoise.files.images import write_values

QUICK = ["--epochs", "1", "--training-patches", "128"]
INPUTS = [
    *("gray.png", "deep.png", "rgba.png", "photo.jpg", "float.tif", "stack.tif", "lzw.tif"),
    *("nan.tif", "map.tif", "flat.bmp", "gray.pgm", "tiny.png", "cut.png", "empty.png"),
    *(
        "array.npy",
        "sky.fits",
        "text.png",
        "in",
        "none.png",
        "a folder",
        "in/*.png",
        "-",
        "ü.webp",
        "link.png",
        "/dev/null",
    ),
]
OPTIONS = [
    *(["-o", "out.png"], ["-o", "out.tif"], ["-o", "out/"], ["-o", "x/y/z.png"]),
    *(["-o", "out.npy"], ["-o", "out.fits"]),
    *(["--sigma", "20"], ["--sigma", "20"], ["--sigma", "auto"], ["--sensor", "1,2"]),
    *(["--noise", "gaussian"], ["--noise", "poisson-gaussian"], ["--seed", "7"]),
    *(["--preset", "fast"], ["--preset", "balanced"], ["--decoder", "mlp"]),
    *(["--method", "nl-means"], ["--method", "tv"], ["--method", "wavelet"], ["--json"]),
    *(["--quiet"], ["--verbose"], ["--overwrite"], ["--skip-existing"], ["--fail-fast"]),
    *(["--frame", "2"], ["--strip"], ["--fill-missing"], ["--keep-outliers"]),
    *(["--max-pixels", "300"], ["--time-budget", "1s"], ["--recursive"], ["--suffix", "_x"]),
    *(["--figure", "f.png"], ["--figure", "figures/"], ["--curve", "c.csv"], ["--curve", "c.png"]),
    *(["--uncertainty", "u.npy"], ["--uncertainty", "u.png"], ["--save-model", "m.npz"]),
    *(["--residual", "r.npy"], ["--residual", "r.png"], ["--residual", "r.tif"]),
    *(["--strength", "0"], ["--strength", "0.6"], ["--mask", "mask.png"], ["--sigma", "0"]),
    *(["--report", "pages"], ["--report", "in"]),
    *(["--show-model", "m.png"], ["--reference", "gray.png"], ["--jobs", "2"]),
]
ODD_OPTIONS = [
    *(["-o", "gray.png"], ["-o", "-"], ["-o", "old.png"], ["-o", "out.xyz"], ["-o", ""]),
    *(["-o", "in"], ["--sigma", "0.001"], ["--sigma", "1e6"], ["--sigma", "-1"]),
    *(["--sigma", "nan"], ["--sensor", "x"], ["--noise", "gray.png"], ["--preset", "slow"]),
    *(
        ["--frame", "9"],
        ["--load-model", "gray.png"],
        ["--strength", "7"],
        ["--reference", "in"],
        ["--mask", "in"],
        ["--mask", "gray.png"],
        ["--device", "cuda"],
    ),
]
EXCLUSIVE = [
    *({"--method", one} for one in ("--preset", "--decoder", "--time-budget", "--epochs")),
    *({"--method", one} for one in ("--curve", "--uncertainty", "--save-model", "--show-model")),
    *({"--sigma", one} for one in ("--sensor", "--noise")),
    *({"--noise", "--sensor"}, {"--quiet", "--verbose"}, {"--time-budget", "--epochs"}),
    *({"--overwrite", "--skip-existing"}, {"--preset", "--decoder"}),
]


def make_files(folder: Path) -> None:
    """A folder with good, odd and broken images, and earlier results."""
    generator = np.random.default_rng(0)
    (folder / "in").mkdir()
    (folder / "a folder").mkdir()
    gray = generator.normal(120, 20, (24, 20)).clip(0, 255).astype(np.uint8)
    colour = generator.normal(120, 20, (20, 24, 4)).clip(0, 255).astype(np.uint8)
    for name in ("gray.png", "flat.bmp", "gray.pgm", "in/a.png", "in/b.png", "old.png"):
        Image.fromarray(gray).save(folder / name)
    mask = np.zeros_like(gray)
    mask[5:8, 2:15] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for name in ("rgba.png", "ü.webp"):
        Image.fromarray(colour).save(folder / name)
    Image.fromarray(colour[..., :3].copy()).save(folder / "photo.jpg")
    Image.fromarray(gray.astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(gray[:2, :2].copy()).save(folder / "tiny.png")
    floats = gray.astype(np.float32)
    tifffile.imwrite(folder / "float.tif", floats / 255)
    tifffile.imwrite(folder / "stack.tif", np.stack([gray] * 3), photometric="minisblack")
    tifffile.imwrite(folder / "lzw.tif", gray, compression="lzw")
    tifffile.imwrite(folder / "nan.tif", np.where(gray > 150, np.nan, floats))
    nodata = [(42_113, "s", 0, "0", True)]
    tifffile.imwrite(folder / "map.tif", np.where(gray > 150, 0, gray), extratags=nodata)
    for name in ("array.npy", "sky.fits"):
        write_values(folder / name, floats, overwrite=False)
    data = (folder / "gray.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "link.png").symlink_to("gray.png")


def random_command(chance: random.Random) -> list[str]:
    """Inputs and options, likely and unlikely ones; most fit together."""
    inputs = chance.sample(INPUTS, chance.choice([1, 1, 1, 2, 3]))
    several = len(inputs) > 1 or inputs[0] in ("in", "in/*.png", "a folder")
    options = [*chance.sample(OPTIONS, chance.randint(0, 5)), QUICK]
    if chance.random() < 0.8:
        options = _fitting(options, several=several)
    options += chance.sample(ODD_OPTIONS, chance.choice([0, 0, 0, 1]))
    return [*inputs, *(part for one in options for part in one)]


def _fitting(options: list[list[str]], *, several: bool) -> list[list[str]]:
    """Those of them that do not exclude each other."""
    kept: dict[str, list[str]] = {}
    for option in options:
        names_a_file = len(option) > 1 and option[1][-4:-3] == "."
        if several and names_a_file and option[0] not in ("--reference", "--mask"):
            continue
        if not any({option[0], other} in EXCLUSIVE for other in kept):
            kept[option[0]] = option
    return list(kept.values())
