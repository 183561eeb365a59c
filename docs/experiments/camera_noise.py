"""What noise is found in photographs that simulated cameras have taken, and what denoising gains.

A photograph is turned back into what a sensor sees (linear light, without white balance and colour
matrix), seen through a Bayer mosaic with photon and read noise, interpolated, developed and
compressed. The reference is the same without noise. The steps are those of Brooks et al.,
Unprocessing Images for Learned Raw Denoising, CVPR 2019, arXiv 1811.11127; the second
interpolation is that of Malvar, He, Cutler, ICASSP 2004.

    PYTHONPATH=docs/experiments python -m camera_noise PHOTO...
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter

from denoise import denoise_image, estimate_noise
from denoise.files.images import read_image
from denoise.metrics import psnr
from denoise.presets import Overrides
from trials import Epochs, Images

Array = NDArray[np.float64]

WHITE_BALANCE = np.array([2.0, 1.0, 1.6])
COLOUR_MATRIX = np.array([[1.6, -0.4, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.5, 1.5]])
GAMMA = 2.2
# Read noise as a multiple of the variance of one unit of light.
READ_NOISE = 3.0


def bayer(shape: tuple[int, ...]) -> Array:
    """Which colour each pixel of the sensor sees: (height, width, 3) of 0 and 1."""
    mosaic = np.zeros(shape)
    mosaic[::2, ::2, 0] = mosaic[1::2, 1::2, 2] = mosaic[::2, 1::2, 1] = mosaic[1::2, ::2, 1] = 1
    return mosaic


def bilinear(raw: Array, mosaic: Array) -> Array:
    """Interpolate each colour on its own: (height, width) → (height, width, 3)."""
    square = np.outer([1, 2, 1], [1, 2, 1]) / 4
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    planes = [
        convolve(raw * mosaic[..., colour], kernel, mode="mirror")
        for colour, kernel in enumerate((square, cross, square))
    ]
    return np.stack(planes, axis=2)


def malvar(raw: Array, mosaic: Array) -> Array:
    """Interpolate with the gradients of the other colours (Malvar et al. 2004, figure 2)."""
    green = [
        [0, 0, -1, 0, 0],
        [0, 0, 2, 0, 0],
        [-1, 2, 4, 2, -1],
        [0, 0, 2, 0, 0],
        [0, 0, -1, 0, 0],
    ]
    along = [
        [0, 0, 0.5, 0, 0],
        [0, -1, 0, -1, 0],
        [-1, 4, 5, 4, -1],
        [0, -1, 0, -1, 0],
        [0, 0, 0.5, 0, 0],
    ]
    across = [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ]
    kernels = (np.array(green), np.array(along), np.array(along).T, np.array(across))
    at_green, row, column, diagonal = (
        convolve(raw, kernel / 8, mode="mirror") for kernel in kernels
    )
    red, greens, blue = (mosaic[..., colour] == 1 for colour in range(3))
    red_rows = np.zeros(raw.shape, bool)
    red_rows[::2] = True
    reds = np.where(red, raw, np.where(blue, diagonal, np.where(red_rows, row, column)))
    blues = np.where(blue, raw, np.where(red, diagonal, np.where(red_rows, column, row)))
    return np.stack([reds, np.where(greens, raw, at_green), blues], axis=2)


@dataclass(frozen=True)
class Camera:
    """How a simulated camera develops what its sensor has seen.

    Attributes
    ----------
    interpolate : raw image and mosaic to RGB
    sharpen : how much of the difference from a blurred image is added
    quality : of the JPEG file; None for a file that is not compressed
    subsampling : of its colours, as Pillow counts: 0 none, 1 halves, 2 quarters
    """

    interpolate: Callable[[Array, Array], Array]
    sharpen: float
    quality: int | None
    subsampling: int = 0

    def __str__(self) -> str:
        compressed = f", JPEG {self.quality}/{self.subsampling}" if self.quality else ""
        return f"{self.interpolate.__name__}, sharpened {self.sharpen:g}{compressed}"

    def picture(self, sensor: Array) -> Array:
        """What the camera writes: (height, width, 3) on 0..255."""
        mosaic = bayer(sensor.shape)
        colours = self.interpolate((sensor * mosaic).sum(2), mosaic) * WHITE_BALANCE
        image = np.clip(colours @ COLOUR_MATRIX.T, 0, 1) ** (1 / GAMMA) * 255
        image += self.sharpen * (image - gaussian_filter(image, (1, 1, 0)))
        pixels = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
        if self.quality is None:
            return np.array(pixels, np.float64)
        file = io.BytesIO()
        Image.fromarray(pixels).save(
            file, "JPEG", quality=self.quality, subsampling=self.subsampling
        )
        return np.array(Image.open(file), np.float64)

    def pair(
        self, photo: Array, gain: float, generator: np.random.Generator
    ) -> tuple[Array, Array]:
        """A picture without noise, and one whose sensor has a noise of variance gain per light."""
        light = (photo / 255) ** GAMMA
        sensor = np.maximum(light @ np.linalg.inv(COLOUR_MATRIX).T / WHITE_BALANCE, 0)
        sigma = np.sqrt(gain * sensor + (READ_NOISE * gain) ** 2)
        noisy = sensor + sigma * generator.standard_normal(sensor.shape)
        return self.picture(sensor), self.picture(noisy)


CAMERAS = (
    Camera(bilinear, 0.0, 95, 2),
    Camera(malvar, 0.3, 97, 1),
    Camera(malvar, 0.0, None),
    Camera(bilinear, 0.5, 92, 2),
)


def main(
    images: Images,
    *,
    gains: Annotated[str, typer.Option(help="Noise of the sensor.")] = "2e-4,8e-4,3e-3",
    every: Annotated[bool, typer.Option("--every", help="Every camera, not one a row.")] = False,
    preset: str = "fast",
    epochs: Epochs = None,
) -> None:
    """Print a row for each photograph and noise; the cameras take turns."""
    print("| photograph | camera | gain | noisy | result | rms found / true | noise found |")
    print("|---|---|---|---|---|---|---|")
    for number, path in enumerate(images):
        photo = np.asarray(read_image(path).pixels, np.float64)
        if photo.ndim == 2:
            photo = np.repeat(photo[..., None], 3, axis=2)
        for step, gain in enumerate(float(one) for one in gains.split(",")):
            turn = (number + step) % len(CAMERAS)
            for camera in CAMERAS if every else CAMERAS[turn : turn + 1]:
                generator = np.random.default_rng([number, step])
                _row(path, camera, gain, camera.pair(photo, gain, generator), preset, epochs)


def _row(
    path: Path,
    camera: Camera,
    gain: float,
    pair: tuple[Array, Array],
    preset: str,
    epochs: int | None,
) -> None:
    clean, noisy = pair
    noise = estimate_noise(noisy)
    rms, result, found = 0.0, psnr(clean, noisy), "none"
    if noise is not None:
        denoised = denoise_image(noisy, noise, preset=preset, overrides=Overrides(epochs=epochs))
        rms, result = math.sqrt(float(noise.variance(noisy).mean())), psnr(clean, denoised.image)
        found = noise.summary()
    print(
        f"| {path.stem} | {camera} | {gain:g} | {psnr(clean, noisy):.2f} | {result:.2f}"
        f" | {rms:.1f} / {(noisy - clean).std():.1f} | {found} |",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(main)
