"""Would TF32 or BF16 matrix products harm the VAE? Simulated on a CPU by rounding their factors.

Entry "fewer bits, fewer launches" of the log.

    PYTHONPATH=docs/experiments python -m reduced_precision SET12/02.png --seeds 2
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import typer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from denoise.options import Decoder
from denoise.pipeline.image import denoise_image
from trials import (
    Epochs,
    Images,
    Seeds,
    Sigma,
    alone,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

# Bits of the significand after the leading one.
FORMATS = {"float32": 23, "tf32": 10, "bf16": 7}
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")


class RoundedProducts(TorchDispatchMode):
    """Round the float32 factors of every matrix product of torch, gradients included."""

    def __init__(self, bits: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dropped = 23 - bits

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if operation._schema.name in PRODUCTS:
            first = len(args) - 2  # addmm and baddbmm take what is added first
            args = (*args[:first], *(self._rounded(factor) for factor in args[first:]))
        return operation(*args, **(kwargs or {}))

    def _rounded(self, factor: Tensor) -> Tensor:
        """The nearest numbers of this many bits."""
        if factor.dtype != torch.float32:
            return factor
        half = 1 << (self._dropped - 1)
        bits = (factor.contiguous().view(torch.int32) + half) >> self._dropped << self._dropped
        return bits.view(torch.float32).reshape(factor.shape)


def precision(name: str) -> AbstractContextManager[object]:
    """A context in which matrix products have the precision of a format."""
    return nullcontext() if FORMATS[name] == 23 else RoundedProducts(FORMATS[name])


def main(images: Images, *, sigma: Sigma = 25, seeds: Seeds = "", epochs: Epochs = None) -> None:
    """Print the ELBO of the last patch size and the PSNR of both models, in each format."""
    print_header("image", "model", "format", "ELBO", "PSNR")
    decoders: tuple[Decoder, ...] = ("amplitude", "mlp")
    for sample in noisy_samples(images, sigma, seeds):
        for decoder in decoders:
            options = with_epochs(alone(preset_options("balanced", sigma, decoder=decoder)), epochs)
            for name in FORMATS:
                with precision(name):
                    result = denoise_image(sample.noisy, sigma, options=options, device="cpu")
                elbo = result.models[-1].history[-1].elbo
                psnr = sample.psnr(result.image)
                print_row(sample.name, decoder, name, f"{elbo:.3f}", f"{psnr:.3f}")


if __name__ == "__main__":
    typer.run(main)
