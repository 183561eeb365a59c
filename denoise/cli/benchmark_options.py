"""The options of `denoise benchmark`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from denoise.benchmark import ProtocolName, Task
from denoise.cli.parser import FILES, METHODS, NOISE, REPORTS, option
from denoise.cli.shared_options import DEVICE, SEED

DEFAULT_METHODS = "noisy,blur,tv,nl-means"
INPAINTING_METHODS = "biharmonic"
DEFAULT_PRESETS = "fast,balanced"
DEFAULT_MISSING = "0.5,0.8"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What to measure on which images, and what to write; None: not given."""

    images: str = option(
        FILES,
        "samples",
        metavar="SET",
        help="Clean images: samples; set12, bsd68 or kodak24 (downloaded once); a folder, a file or"
        " a pattern.",
    )
    limit: int | None = option(
        FILES, None, metavar="N", min=1, help="Take the first N images only."
    )
    keep_images: Path | None = option(
        FILES, None, metavar="DIR", help="Keep the images that the methods make."
    )
    task: Task = option(
        NOISE, "denoising", help="inpainting hides pixels at random, which are to be filled in."
    )
    sigmas: str | None = option(
        NOISE,
        None,
        metavar="LIST",
        help="Noise levels on 0..255, such as 15,25,50 (default: 25, and 0 for inpainting).",
    )
    missing: str | None = option(
        NOISE,
        None,
        metavar="LIST",
        help=f"Shares of the pixels that are hidden for inpainting (default: {DEFAULT_MISSING}).",
    )
    seeds: int = option(
        NOISE, 1, metavar="K", min=1, help="Draw the noise K times, to see how results vary."
    )
    protocol: ProtocolName = option(
        NOISE, "unclipped", help="unclipped as in papers, clipped8 as in 8-bit files."
    )
    methods: str | None = option(
        METHODS,
        None,
        metavar="LIST",
        help="Classic methods, networks, other VAEs, our presets"
        f" (default: {DEFAULT_METHODS},{DEFAULT_PRESETS}).",
    )
    presets: str | None = option(
        METHODS, None, metavar="LIST", help="Our presets, added to --methods or to cheap ones."
    )
    refine: bool = option(
        METHODS,
        False,
        "--refine",
        help="Measure each method that has no refinement again with that of balanced, as"
        " NAME+refine.",
    )
    seed: int = SEED
    device: str = DEVICE
    json: Path | None = option(
        REPORTS, None, metavar="FILE", help="Write all numbers, after every cell."
    )
    resume: bool = option(
        REPORTS, False, "--resume", help="Go on with the cells that --json FILE lacks."
    )
    csv: Path | None = option(REPORTS, None, metavar="FILE", help="Write one line for each cell.")
    markdown: Path | None = option(
        REPORTS, None, metavar="FILE", help="Write the report, with tables."
    )
    plot: Path | None = option(REPORTS, None, metavar="FILE", help="Draw quality over time.")
    sheet: Path | None = option(
        REPORTS,
        None,
        metavar="FILE",
        help="Draw details of what the methods make; needs --keep-images.",
    )
