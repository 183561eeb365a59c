"""Results as text for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

from denoise import __version__
from denoise.cli.jobs import ActiveJob
from denoise.files.image_file import COLOUR_NAMES, ImageFile
from denoise.metrics import Quality
from denoise.noise.interface import Noise
from denoise.options import OWN_MODEL
from denoise.presets import PRESETS

# At most this many noises are named in a line.
MOST_NOISES = 3

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class FileReport:
    """What was done to one file; what does not apply is None.

    Attributes
    ----------
    status : "done", "skipped" (the output was there) or "failed"
    error : one line, why it failed
    traceback : where, if it is a bug of ours; not in the JSON
    width, height, channels, dtype : of the image; dtype is the sample type of input and output
    images : how many a file of several holds
    axes : lengths of the axes along which they lie, slowest first
    tiles : in how many a large image, or each of several, was denoised
    images_left : how many of them other parts have yet to do, of a file that is shared out
    noise : that was given or found, on 0..255 or, of float images, in their own units; None if
        there is none
    noises : of a file of several images, the noise of each channel, or of each image if they have
        models of their own
    sigma_source : "given" or "estimated"
    learned_sigma : the model's own estimate of sigma; None if the model was learned before
    elbo : mean ELBO per training patch in the last epoch, in nats
    model : "tvae", our own with a preset, or the name of another method
    preset : its name, if there is one
    strength : the share of the noise that was removed, from 0 to 1
    seconds : from reading the input to writing the output
    notes : what the user should know, such as how the image was converted on the way
    quality : only if there is a reference
    diagnostics : what other methods report of their training, by name
    settings : all settings of the method, nested
    shard : the part of the images to which this one belongs, such as "3/64", if they were shared
    """

    input: str
    output: str
    status: Status
    error: str | None = None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    dtype: str | None = None
    images: int | None = None
    axes: dict[str, int] | None = None
    tiles: int | None = None
    images_left: int | None = None
    noise: Noise | None = None
    noises: tuple[Noise | None, ...] = ()
    sigma_source: Literal["given", "estimated"] | None = None
    learned_sigma: float | None = None
    elbo: float | None = None
    device: str | None = None
    model: str | None = None
    preset: str | None = None
    seed: int | None = None
    strength: float | None = None
    seconds: float | None = None
    version: str = __version__
    notes: tuple[str, ...] = ()
    quality: Quality | None = None
    diagnostics: dict[str, float] | None = None
    settings: dict[str, Any] | None = None
    shard: str | None = None
    traceback: str | None = None

    def with_lateness(self, budget: float | None) -> FileReport:
        """The report, with a note if a time budget, in seconds, was not kept."""
        if budget is None or self.seconds is None or self.seconds <= budget:
            return self
        late = f"took {self.seconds:.1f} s, {self.seconds - budget:.1f} s over the time budget"
        return replace(self, notes=(*self.notes, late))

    def summary(self) -> str:
        """One line for people."""
        if self.status == "failed":
            return f"error: {self.error}"
        if self.status == "skipped":
            return f"{self.input}: skipped, {self.output} is there"
        parts = [f"{self.input}: {self.width}x{self.height} {COLOUR_NAMES[self.channels or 1]}"]
        if self.images is not None:
            axes = "".join(f" {name}{length}" for name, length in (self.axes or {}).items())
            parts.append(f"{self.images} images ({axes.strip()})")
        if self.tiles is not None:
            parts.append(f"in {self.tiles} tiles" + (" each" if self.images else ""))
        if self.dtype != "uint8":
            parts.append(str(self.dtype))
        if self.device is not None:
            parts.append(self.device)
        parts += [self.noise_text(), f"{self.seconds:.1f} s"]
        if self.diagnostics is not None:
            parts += [f"{name} {value:.4g}" for name, value in self.diagnostics.items()]
        elif self.elbo is not None:
            parts.append(f"ELBO {self.elbo:.2f}")
        if self.quality is not None:
            parts += _quality_text(self.quality)
        if self.images_left:
            parts.append(f"{self.images_left} images left to other parts")
        return ", ".join(parts) + f" -> {self.output}"

    def noise_text(self) -> str:
        """The noise in a few words, and whether it was estimated."""
        scale = "" if str(self.dtype).startswith("float") else " of 255"
        noises = list(self.noises or [self.noise])
        texts = [f"sigma 0{scale}" if one is None else one.summary(scale) for one in noises]
        if len(texts) > MOST_NOISES:
            texts[1:-1] = ["..."]
        return " / ".join(texts) + (" (estimated)" if self.sigma_source == "estimated" else "")

    def json(self) -> str:
        """One line of JSON; quality is flattened, null where unknown or infinite."""
        fields = asdict(self)
        del fields["traceback"], fields["noise"]
        fields["noises"] = [noise_fields(one, known=True) for one in self.noises] or None
        quality = fields.pop("quality") or dict.fromkeys(Quality.__dataclass_fields__)
        noise = noise_fields(self.noise, known=self.status == "done")
        return json.dumps(_finite(fields | noise | quality), allow_nan=False)


def report_of(
    active: ActiveJob, like: ImageFile, size: tuple[int, int], notes: tuple[str, ...]
) -> FileReport:
    """What is known of a file that will be done before the method has run.

    Parameters
    ----------
    like : has the samples and colours of the images
    size : their height and width
    """
    job, settings = active.job, active.settings
    name = settings.method.name
    is_preset = name in PRESETS
    return FileReport(
        job.input_name,
        job.output_name,
        "done",
        width=size[1],
        height=size[0],
        channels=like.channels,
        dtype=like.sample_type,
        sigma_source="given" if settings.gives_noise else "estimated",
        model=OWN_MODEL if is_preset else name,
        preset=name if is_preset else None,
        seed=settings.seed,
        strength=settings.strength,
        notes=notes,
    )


def noise_fields(noise: Noise | None, *, known: bool) -> dict[str, Any]:
    """What does not apply to the noise is None; sigma is 0 if none is known to be there."""
    found = {} if noise is None else noise.report()
    none = known and noise is None
    return {"sigma": 0.0 if none else None, "sensor": None, "coloured": None} | found


def batch_summary(reports: Sequence[FileReport], planned: int, problems: Sequence[str]) -> str:
    """What became of many files, and why some failed.

    Parameters
    ----------
    planned : number of images; those without a report have not been tried
    problems : reasons of inputs in which there was no image
    """
    reasons = [*problems, *(one.error or "" for one in reports if one.status == "failed")]
    done = sum(one.status == "done" for one in reports)
    skipped = sum(one.status == "skipped" for one in reports)
    parts = [f"{done} done, {skipped} skipped, {len(reasons)} failed"]
    if len(reports) < planned:
        parts.append(f"{planned - len(reports)} not tried")
    measured = [one.quality for one in reports if one.quality is not None]
    if measured:
        before = fmean(one.psnr_noisy for one in measured)
        after = fmean(one.psnr for one in measured)
        rise = "" if math.isinf(before) else f"{before:.2f} -> "
        parts.append(f"mean PSNR {rise}{after:.2f} dB over {len(measured)}")
    return "\n".join([", ".join(parts), *(f"failed: {reason}" for reason in reasons)])


def _quality_text(quality: Quality) -> list[str]:
    # Where an image has holes but no noise, its PSNR before is infinite.
    before = "" if math.isinf(quality.psnr_noisy) else f"{quality.psnr_noisy:.2f} -> "
    parts = [f"PSNR {before}{quality.psnr:.2f} dB"]
    if quality.ssim is not None:
        before = "" if quality.ssim_noisy is None else f"{quality.ssim_noisy:.3f} -> "
        parts.append(f"SSIM {before}{quality.ssim:.3f}")
    return parts


def _finite(value: Any) -> Any:
    """The value with null instead of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
