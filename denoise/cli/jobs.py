"""What to do: the files of one job, and the settings that all jobs of a command share."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from denoise.errors import ModelFileError, OptionError, OutputError
from denoise.files.images import IMAGE_SUFFIXES, check_readable
from denoise.files.outputs import check_output
from denoise.methods.table import METHODS, Method
from denoise.noise.poisson_gaussian import PoissonGaussianNoise
from denoise.options import OWN_MODEL, Decoder, NoiseKind
from denoise.presets import DEFAULT_PRESET, Overrides, check_decoder, preset
from denoise.vae.saved import MODEL_SUFFIXES

CURVE_SUFFIXES = (".png", ".csv")


@dataclass(frozen=True)
class FileJob:
    """The files of one run.

    Attributes
    ----------
    image : what to denoise; None is standard input
    output : where to write the result; None is standard output
    reference : clean image of the same size, to measure PSNR and SSIM
    figure : also write a picture of noisy, denoised, reference and difference
    curve : also write the ELBO of every epoch, as .csv or as a picture
    uncertainty : also write the posterior standard deviation of every pixel; .npy holds it in
        the units of sigma, an image format a picture of it, white for the largest
    load_model : use the models in this file instead of learning
    save_model : also write the models
    show_model : also draw the models
    """

    image: Path | None
    output: Path | None
    reference: Path | None = None
    figure: Path | None = None
    curve: Path | None = None
    uncertainty: Path | None = None
    load_model: Path | None = None
    save_model: Path | None = None
    show_model: Path | None = None

    @property
    def input_name(self) -> str:
        """For messages and reports."""
        return "stdin" if self.image is None else str(self.image)

    @property
    def output_name(self) -> str:
        """For messages and reports."""
        return "stdout" if self.output is None else str(self.output)

    @property
    def extras(self) -> tuple[Path, ...]:
        """All files that are written besides the image."""
        paths = (self.figure, self.curve, self.uncertainty, self.save_model, self.show_model)
        return tuple(path for path in paths if path is not None)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written."""
        return self.extras if self.output is None else (self.output, *self.extras)

    def without_extras(self, paths: Collection[Path]) -> FileJob:
        """The same job, but for these files besides the image."""
        names = ("figure", "curve", "uncertainty", "save_model", "show_model")
        return replace(self, **{name: None for name in names if getattr(self, name) in paths})

    @property
    def in_place(self) -> bool:
        """Whether the result replaces the input."""
        if self.image is None or self.output is None:
            return False
        return os.path.realpath(self.image) == os.path.realpath(self.output)

    def check(self, settings: Settings) -> None:
        """Find out at little cost what is bound to fail.

        Raises
        ------
        ImageError, ModelFileError
            If an input is not there, may not be read, or is no image.
        OutputError
            If a file cannot be written.
        """
        for path in (self.image, self.reference):
            if path is not None:
                check_readable(path)
        if self.load_model is not None and not os.path.exists(self.load_model):
            raise ModelFileError(f"{self.load_model}: no such file")
        if self.in_place and settings.skip_existing:
            raise OutputError(f"{self.output}: is the input; --skip-existing needs another output")
        if self.in_place and settings.frame is not None:
            raise OutputError(f"{self.output}: one frame would replace all; write another file")
        outputs = (
            (self.output, IMAGE_SUFFIXES),
            (self.figure, IMAGE_SUFFIXES),
            (self.curve, CURVE_SUFFIXES),
            (self.uncertainty, (".npy", *IMAGE_SUFFIXES)),
            (self.save_model, MODEL_SUFFIXES),
            (self.show_model, IMAGE_SUFFIXES),
        )
        for path, suffixes in outputs:
            if path is not None:
                check_output(path, suffixes, overwrite=settings.may_replace)


@dataclass(frozen=True)
class Settings:
    """What holds for every image of a command.

    Attributes
    ----------
    sigma : standard deviation of the noise, on the 0..255 scale for integer images of any depth
        and in native units for floats; None estimates it for each image
    noise : "gaussian", or "poisson-gaussian" for noise that grows with the signal
    sensor : parameters of the latter, in the same units; None estimates them
    model : "tvae", our own with a preset, or the name of a method, which may have less to set
    preset, decoder, epochs, training_patches, learn_sigma : None leaves the preset's choice
    time_budget : seconds for each image
    seed, device : of `denoise_image`
    overwrite : replace files that exist
    skip_existing : skip images whose output is there, whole and of the right size; replace
        outputs that are not
    frame : which page or frame of several to read, from 1
    max_pixels : refuse larger images; by default Pillow's limit
    strip : leave out all metadata, colour profile and orientation included
    fill_missing : pixels that are NaN or infinite are missing and get filled in, which is
        otherwise an error
    """

    sigma: float | None = None
    noise: NoiseKind = "gaussian"
    sensor: PoissonGaussianNoise | None = None
    model: str = OWN_MODEL
    preset: str = DEFAULT_PRESET
    decoder: Decoder | None = None
    epochs: int | None = None
    training_patches: int | None = None
    learn_sigma: bool | None = None
    time_budget: float | None = None
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    skip_existing: bool = False
    frame: int | None = None
    max_pixels: int | None = None
    strip: bool = False
    fill_missing: bool = False

    def __post_init__(self) -> None:
        if self.noise not in get_args(NoiseKind):
            known = " or ".join(get_args(NoiseKind))
            raise OptionError(f"there is no noise {self.noise!r}; choose {known}")
        if self.noise != "gaussian" and self.sigma is not None:
            raise OptionError("poisson-gaussian noise has no single sigma; leave it out")
        if self.model not in (OWN_MODEL, *METHODS):
            known = ", ".join((OWN_MODEL, *METHODS))
            raise OptionError(f"there is no method {self.model!r}; choose one of {known}")
        preset(self.preset)  # it must exist
        check_decoder(self.method.name, self.decoder)

    @property
    def method(self) -> Method:
        """What denoises."""
        return METHODS[self.preset if self.model == OWN_MODEL else self.model]

    @property
    def may_replace(self) -> bool:
        """Whether files that exist may be replaced."""
        return self.overwrite or self.skip_existing

    @property
    def overrides(self) -> Overrides:
        """What is to differ from the preset."""
        return Overrides(
            decoder=self.decoder,
            epochs=self.epochs,
            patch_budget=self.training_patches,
            learn_noise_variance=self.learn_sigma,
        )
