"""Results as text for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from denoise.formats.image_file import COLOUR_NAMES


@dataclass(frozen=True)
class Quality:
    """An image against the clean reference, before and after; SSIM is None for tiny images."""

    psnr_noisy: float
    psnr: float
    ssim_noisy: float | None
    ssim: float | None


@dataclass(frozen=True)
class FileReport:
    """What was done to one file.

    Attributes
    ----------
    width, height, channels : size of the image
    sigma, learned_sigma : noise level as given, and as estimated by the model, on 0..255 or, of
        float images, in their own units
    elbo : mean ELBO per training patch in the last epoch, in nats; NaN, as learned_sigma, if the
        model was learned before
    seconds : from reading the input to writing the output
    notes : how the image was converted on the way
    quality : only if there is a reference
    """

    input: str
    output: str
    width: int
    height: int
    channels: int
    device: str
    preset: str
    seed: int
    sigma: float
    learned_sigma: float
    elbo: float
    seconds: float
    version: str
    notes: tuple[str, ...]
    quality: Quality | None

    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{self.input}: {self.width}x{self.height} {COLOUR_NAMES[self.channels]}",
            self.device,
            f"sigma {self.sigma:g}",
            f"{self.seconds:.1f} s",
        ]
        if math.isfinite(self.elbo):
            parts.append(f"ELBO {self.elbo:.2f}")
        if self.quality is not None:
            parts.append(f"PSNR {self.quality.psnr_noisy:.2f} -> {self.quality.psnr:.2f} dB")
            if self.quality.ssim is not None:
                parts.append(f"SSIM {self.quality.ssim_noisy:.3f} -> {self.quality.ssim:.3f}")
        return ", ".join(parts) + f" -> {self.output}"

    def json(self) -> str:
        """One line of JSON; quality is flattened, null where unknown or infinite."""
        fields = asdict(self)
        quality = fields.pop("quality") or dict.fromkeys(Quality.__dataclass_fields__)
        fields |= quality
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        }
        return json.dumps(finite, allow_nan=False)
