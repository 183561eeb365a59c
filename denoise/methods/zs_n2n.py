"""Zero-shot Noise2Noise, a small network learned on one noisy image.

After its description: Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without
any Data", CVPR 2023. The image is taken apart into two of half the size by the mean of each
diagonal of its 2×2 blocks; a network learns to predict the noise so that each half denoised
looks like the other, and so that denoising and taking apart commute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d, mse_loss

from denoise.devices import describe_device, out_of_memory_reported, pick_device
from denoise.methods.whole_image import complete_image, denoise_whole
from denoise.noise.interface import Noise
from denoise.pipeline.results import DenoiseResult, Progress
from denoise.pipeline.run import DEFAULT_RUN, Run


@dataclass(frozen=True)
class ZSN2NOptions:
    """Settings as published.

    Attributes
    ----------
    width : channels of the two hidden layers
    steps : of Adam
    learning_rate : halved every `halving` steps
    """

    width: int = 48
    steps: int = 2000
    learning_rate: float = 1e-3
    halving: int = 1000


DEFAULT_OPTIONS = ZSN2NOptions()


@out_of_memory_reported()
def denoise_with_zs_n2n(
    image: ArrayLike, noise: float | Noise, run: Run = DEFAULT_RUN
) -> DenoiseResult:
    """Denoise an image of any range; the noise matters only if it has to be made white first."""
    options, device = DEFAULT_OPTIONS, pick_device(run.device)

    def learned(pixels: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
        return zs_n2n(
            pixels,
            run.seed,
            options=options,
            device=str(device),
            on_step=lambda step: run.on_progress(Progress("train", step, options.steps)),
        )

    white = complete_image(image, noise, run.data_range)
    return denoise_whole(white, run, learned, device=describe_device(device), options=options)


def zs_n2n(
    image: NDArray[np.float64],
    seed: int,
    *,
    options: ZSN2NOptions | None = None,
    device: str = "cpu",
    on_step: Callable[[int], None] = lambda step: None,
) -> NDArray[np.float64]:
    """Denoise an image; the noise level need not be known.

    Parameters
    ----------
    image : (height, width) or (height, width, C), 0..255
    """
    options = options or DEFAULT_OPTIONS
    pixels = np.atleast_3d(image).transpose(2, 0, 1)[None] / 255
    noisy = torch.as_tensor(pixels, dtype=torch.float32, device=device)
    # With channels last in memory, a convolution on a CPU is up to twice as fast.
    network = _network(noisy.shape[1], options.width, seed)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, options.halving, gamma=0.5)
    for step in range(1, options.steps + 1):
        optimiser.zero_grad()
        _loss(network, noisy).backward()
        optimiser.step()
        schedule.step()
        on_step(step)
    with torch.no_grad():
        denoised = (noisy - network(noisy)).clamp(0, 1)
    result: NDArray[np.float64] = denoised[0].permute(1, 2, 0).cpu().numpy().astype(np.float64)
    return 255 * result.reshape(np.shape(image))


def halves(image: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the two diagonals of each 2×2 block: (1, C, height / 2, width / 2) each."""
    channels = image.shape[1]
    first = image.new_tensor([[0.0, 0.5], [0.5, 0.0]]).expand(channels, 1, 2, 2)
    second = image.new_tensor([[0.5, 0.0], [0.0, 0.5]]).expand(channels, 1, 2, 2)
    return (
        conv2d(image, first, stride=2, groups=channels),
        conv2d(image, second, stride=2, groups=channels),
    )


def _loss(network: nn.Module, noisy: Tensor) -> Tensor:
    first, second = halves(noisy)
    clean_first, clean_second = first - network(first), second - network(second)
    residual = mse_loss(clean_first, second) + mse_loss(clean_second, first)
    whole_first, whole_second = halves(noisy - network(noisy))
    consistency = mse_loss(clean_first, whole_first) + mse_loss(clean_second, whole_second)
    return (residual + consistency) / 2


def _network(channels: int, width: int, seed: int) -> nn.Module:
    """Three convolutions; its start depends on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, channels, 1),
        )
