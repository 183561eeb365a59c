"""The options besides those in settings.py, and which of all exclude each other. No torch here."""

from __future__ import annotations

import glob
import sys
from dataclasses import dataclass, field, fields

import typer

from denoise import __version__
from denoise.cli.parser import FILES, GENERAL, LEARNING, REPORTS, option
from denoise.cli.settings import Settings
from denoise.cli.shards import Shard, parse_shard
from denoise.cli.shared_options import JSON
from denoise.cli.values import parse_cluster
from denoise.errors import OptionError
from denoise.methods.table import check_refinable
from denoise.options import OWN_MODEL
from denoise.presets import check_decoder, preset

PIPE = "-"


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"denoise {__version__}")
        raise typer.Exit


def _complete_image(ctx: typer.Context, incomplete: str) -> list[str]:
    """Nothing, so that shells list files; without such a file, names of other commands."""
    is_image = ctx.params["images"] or glob.glob(f"{glob.escape(incomplete)}*")
    return [] if is_image else ["benchmark", "finish", "info", "noise", "serve"]


def _also(section: str, what: str) -> str | None:
    """A file about an image, besides its result."""
    text = f"Also {what}. A folder if there are several images."
    return option(section, None, metavar="FILE", help=text)


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files that a command names, as the help explains them; None: not given."""

    images: list[str] = field(
        metadata={
            "typer": typer.Argument(
                metavar="IMAGE",
                autocompletion=_complete_image,
                rich_help_panel=FILES,
                help="Noisy images: files, folders, patterns such as '*.png', or - for stdin.",
            )
        }
    )
    output: str | None = option(
        FILES,
        None,
        "--output",
        "-o",
        metavar="FILE",
        help="Output file, or - for stdout (default: IMAGE_denoised beside each image). A folder,"
        " or a name that ends in /, receives a mirror of the input tree.",
    )
    recursive: bool = option(FILES, False, "--recursive", "-r", help="Search in subfolders, too.")
    suffix: str | None = option(
        FILES,
        None,
        metavar="TEXT",
        help="Add TEXT to the names of results (default: _denoised beside the image, nothing in"
        " another folder).",
    )
    mask: str | None = option(
        FILES,
        None,
        metavar="FILE",
        help="Fill in the pixels that are white in this image, or transparent (scratches, text,"
        " objects), or in the images of the same names in a folder. All others are denoised;"
        " with --sigma 0 they stay as they are.",
    )
    save_model: str | None = _also(LEARNING, "save the learned model, as .npz")
    load_model: str | None = option(
        LEARNING,
        None,
        metavar="FILE",
        help="Use a saved model instead of learning: for a series of images that are alike.",
    )
    reference: str | None = option(
        REPORTS,
        None,
        metavar="FILE",
        help="Measure PSNR and SSIM against this clean image, or against the images of the same"
        " names in a folder.",
    )
    figure: str | None = _also(REPORTS, "draw the images side by side, to compare them")
    residual: str | None = _also(
        REPORTS, "write what was removed: its values as .npy or .tif, or a picture of it"
    )
    uncertainty: str | None = _also(
        REPORTS,
        "write the model's standard deviation of every pixel, as .npy or .tif, or a picture of it",
    )
    curve: str | None = _also(REPORTS, "write the ELBO of every epoch, as .csv or .png")
    show_model: str | None = _also(
        REPORTS, "draw what a VAE learned: patches of its latents, and samples of its prior"
    )
    report: str | None = option(
        REPORTS,
        None,
        metavar="DIR",
        help="Also write a page about each image into this folder, to look at in a browser and to"
        " hand on, and index.html about several.",
    )

    @property
    def piped(self) -> bool:
        """Whether an image comes from standard input or goes to standard output."""
        return PIPE in self.images or self.output == PIPE

    @property
    def to_stdout(self) -> bool:
        """Whether standard output gets an image."""
        return self.output == PIPE or (self.output is None and self.images == [PIPE])


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a command works through its images, and what it prints."""

    json: bool = JSON
    quiet: bool = option(
        REPORTS, False, "--quiet", "-q", help="Print errors only: no progress, no summary."
    )
    verbose: bool = option(
        REPORTS, False, "--verbose", "-v", help="Print all settings and every epoch, too."
    )
    jobs: int = option(
        GENERAL, 1, "--jobs", "-j", metavar="N", min=1, help="Denoise N images in parallel."
    )
    shard: Shard | None = option(
        GENERAL,
        None,
        metavar="K/N",
        parser=parse_shard,
        help="Do part K of N of the images, or of those in a single file, the others on other"
        " machines; auto takes both numbers from a Slurm job array.",
    )
    cluster: str | None = option(
        GENERAL,
        None,
        metavar="ADDRESS",
        parser=parse_cluster,
        help="Denoise on a Dask cluster, such as tcp://host:8786, or on local:N processes.",
    )
    fail_fast: bool = option(
        GENERAL, False, "--fail-fast", help="Stop at the first image that fails."
    )
    version: bool = option(
        GENERAL,
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version.",
    )


def check_together(files: Files, settings: Settings, run: RunOptions) -> None:
    """Raise an OptionError if an option is given that another one excludes."""
    given = {
        _option_of(one.name): getattr(part, one.name) != one.default
        for part in (files, settings, run)
        for one in fields(part)
    }
    method = f"--method {settings.model}"
    rules = (  # (what excludes options, whether it is there, the options)
        (
            "--load-model",
            given["--load-model"],
            "--decoder --epochs --training-patches --learn-sigma/--fix-sigma --save-model --curve",
        ),
        (method, settings.model != OWN_MODEL, "--preset"),
        (
            method,
            settings.method.kind != "ours",
            "--decoder --time-budget --learn-sigma/--fix-sigma --curve --uncertainty --save-model"
            " --load-model --temporal",
        ),
        ("--temporal", settings.temporal > 0, "--frame --model-per-frame"),
        (
            method,
            settings.method.kind in ("network", "classic"),
            "--epochs --training-patches --show-model",
        ),
        ("--time-budget", given["--time-budget"], "--epochs"),
        ("--skip-existing", settings.skip_existing, "--overwrite"),
        ("--noise gaussian", settings.noise == "gaussian", "--sensor"),
        ("--noise poisson-gaussian", settings.noise == "poisson-gaussian", "--sigma"),
        ("--noise FILE", not isinstance(settings.noise, str), "--sigma --sensor"),
        ("--sensor", given["--sensor"], "--sigma"),
        ("--quiet", run.quiet, "--verbose"),
        ("an image on stdout", files.to_stdout, "--json"),
        ("an image from or to a pipe", files.piped, "--shard --cluster"),
        ("--cluster", run.cluster is not None, "--jobs"),
    )
    for cause, holds, excluded in rules:
        for name in excluded.split():
            if holds and given[name]:
                raise OptionError(f"{name} cannot be used with {cause}")
    name, decoder = settings.method.name, settings.decoder
    check_decoder(name, decoder)
    if settings.refine:
        check_refinable(name)
    if settings.temporal > 0 and preset(name, decoder=decoder).refinement is None:
        raise OptionError(
            f"--temporal works in the refinement, which {name} lacks; use another --preset"
        )
    if files.to_stdout and (sys.stdout is None or sys.stdout.isatty()):
        raise OptionError("an image does not go to a terminal; use -o FILE or a pipe")


def _option_of(name: str) -> str:
    pairs = {
        "learn_sigma": "--learn-sigma/--fix-sigma",
        "fill_outliers": "--fill-outliers/--keep-outliers",
    }
    return pairs.get(name, f"--{name.replace('_', '-')}")
