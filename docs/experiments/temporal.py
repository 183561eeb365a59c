"""What frames of a series are worth to each other: still scenes, motion and cuts.

Entry "frames help each other" of the log. Five frames are made of each clean image, with
independent noise; the middle one is refined by itself and with the others.

    PYTHONPATH=docs/experiments python -m temporal SET12/0[1-7].png
    PYTHONPATH=docs/experiments python -m temporal SET12/02.png --preset balanced --only still
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import numpy as np
import torch
import typer
from scipy.ndimage import shift, uniform_filter

from denoise.metrics import psnr
from denoise.noise.gaussian import add_gaussian_noise
from denoise.options import DenoiseOptions, RefinementOptions
from denoise.pipeline.image import denoise_image
from denoise.refinement.frames import Frame, refine_frames
from trials import (
    Epochs,
    Image,
    Images,
    Only,
    Seeds,
    Sigma,
    alone,
    chosen,
    noisy_samples,
    preset_options,
    print_header,
    print_row,
    with_epochs,
)

RADIUS = 2
STEPS = range(-RADIUS, RADIUS + 1)
# Rows and columns by which a scene drifts and an object moves from frame to frame.
DRIFT, MOVE = (1.7, -2.3), (4, 6)
# Pixels at the borders that drift in, and side of the windows of which the worst is shown.
MARGIN, WINDOW = 8, 32


def drifting(image: Image) -> list[Image]:
    """The whole scene moves, by parts of a pixel."""
    frames = [shift(image, [step * part for part in DRIFT], mode="mirror") for step in STEPS]
    return [frame[MARGIN:-MARGIN, MARGIN:-MARGIN] for frame in frames]


def disc(image: Image, step: int) -> Image:
    """Where the object is: (height, width) bool."""
    height, width = image.shape
    row, column = (side / 2 + step * part for side, part in zip(image.shape, MOVE, strict=True))
    y, x = np.ogrid[:height, :width]
    inside: Image = (y - row) ** 2 + (x - column) ** 2 < (min(image.shape) / 5) ** 2
    return inside


def with_object(image: Image) -> list[Image]:
    """A disc with the image upside down moves across it."""
    return [
        np.where(disc(image, step), np.roll(image[::-1], np.multiply(step, MOVE), (0, 1)), image)
        for step in STEPS
    ]


SCENES: dict[str, Callable[[Image], list[Image]]] = {
    "still": lambda image: [image] * len(STEPS),
    "drift": drifting,
    "object": with_object,
    "cut": lambda image: [image[::-1]] * RADIUS + [image] * (RADIUS + 1),
    "two cuts": lambda image: [image[::-1]] * RADIUS + [image] + [image[:, ::-1]] * RADIUS,
}


def pilots(noisy: list[Image], sigma: float, options: DenoiseOptions) -> list[Image]:
    """Images of VAEs that have learned from the middle frame."""
    middle = denoise_image(noisy[RADIUS], sigma, options=options, device="cpu")
    return [
        denoise_image(frame, sigma, options=options, models=middle.models, device="cpu").image
        for frame in noisy
    ]


def refined(
    noisy: list[Image], starts: list[Image], radius: int, sigma: float, options: RefinementOptions
) -> Image:
    """The middle frame, refined with those around it."""
    frames = [
        Frame(*(torch.as_tensor(image / sigma, dtype=torch.float32)[..., None] for image in pair))
        for pair in zip(noisy, starts, strict=True)
    ][RADIUS - radius : RADIUS + radius + 1]
    middle: Image = next(islice(refine_frames(frames, radius, options), radius, None)).numpy()
    return middle[..., 0] * sigma


def gain(clean: Image, before: Image, after: Image, where: Image) -> float:
    """The gain of PSNR in some pixels, in dB."""
    errors = [float(np.mean((image - clean)[where] ** 2)) for image in (before, after)]
    return float(10 * np.log10(errors[0] / errors[1]))


def worst_gain(clean: Image, before: Image, after: Image) -> float:
    """The least gain of all windows, in dB; negative where one loses."""
    errors = [
        uniform_filter((image - clean) ** 2, WINDOW, mode="mirror") for image in (before, after)
    ]
    return float(10 * np.log10(errors[0] / errors[1]).min())


def main(
    images: Images,
    *,
    sigma: Sigma = 25,
    seeds: Seeds = "",
    only: Only = None,
    epochs: Epochs = None,
    preset_name: Annotated[str, typer.Option("--preset")] = "fast",
) -> None:
    """Print PSNR of the middle frame and gains in dB, by itself and with the others."""
    options = with_epochs(preset_options(preset_name, sigma), epochs)
    refinement = options.refinement or RefinementOptions()
    columns = ("alone", "with others", "gain", "worst window", "object", "mean first")
    print_header("image", "scene", *columns)
    for sample in noisy_samples(images, sigma, seeds):
        for name in chosen(SCENES, only):
            scene = [frame.astype(np.float64) for frame in SCENES[name](sample.clean)]
            clean = scene[RADIUS]
            noisy = [
                add_gaussian_noise(frame, sigma, generator=np.random.default_rng(number))
                for number, frame in enumerate(scene)
            ]
            starts = pilots(noisy, sigma, alone(options))
            one = refined(noisy, starts, 0, sigma, refinement)
            more = refined(noisy, starts, RADIUS, sigma, refinement)
            moving, bound = "", ""
            if name == "object":
                moving = f"{gain(clean, one, more, disc(clean, 0)):+.2f}"
            if name == "still":
                level = sigma / len(noisy) ** 0.5
                mean = denoise_image(
                    np.mean(noisy, 0),
                    level,
                    options=with_epochs(preset_options(preset_name, level), epochs),
                    device="cpu",
                )
                bound = f"{psnr(clean, mean.image):.2f}"
            print_row(
                sample.name,
                name,
                f"{psnr(clean, one):.2f}",
                f"{psnr(clean, more):.2f}",
                f"{psnr(clean, more) - psnr(clean, one):+.2f}",
                f"{worst_gain(clean, one, more):+.2f}",
                moving,
                bound,
            )


if __name__ == "__main__":
    typer.run(main)
