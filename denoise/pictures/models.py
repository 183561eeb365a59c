"""Pictures of what a VAE learned: what its latents add, and patches drawn from its prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from denoise.files.samples import to_8bit
from denoise.noise.pixels import as_pixels
from denoise.patches import PatchGrid
from denoise.pictures.comparison import CAPTION_HEIGHT, GAP
from denoise.pipeline.results import DenoiseResult
from denoise.vae.learned import LearnedVAE
from denoise.vae.prior import PatchPrior, Samples

TILE_ENLARGEMENT = 3
TILES_PER_ROW = 32
# Samples in a row, and rows of samples; patches of the image beside them take as much room.
SAMPLES_PER_ROW = TILES_PER_ROW // 2
ROWS = 8
# Rows of samples that have groups (the largest groups), and the width of the label of a row.
GROUP_ROWS = 16
LABEL_WIDTH = 56
# Samples that are drawn; those that are shown are the first of all, or of their group.
DRAWN = 4096
# Side of the part of an image that is searched for the patches nearest to samples, in pixels, and
# how many patches of it are compared, at a time and at most.
SEARCHED_SIDE, CHUNK_SIZE, MOST_COMPARED = 1024, 8192, 2**18
GRAY = 127.5

Tiles = NDArray[np.floating]


class Row(NamedTuple):
    """Some samples of a picture, by their numbers, and what is said of them."""

    label: str
    numbers: Tensor


def draw_models(result: DenoiseResult) -> NDArray[np.uint8]:
    """What the VAEs of a result learned, below each other.

    For our own VAEs, what each latent adds to a patch, the most used latents first: its vector in
    the amplitude model; in the published one, the change of the decoder's mean when only this
    latent is switched on. Each tile has its own contrast, and gray is no change.

    For all VAEs, patches drawn from the prior, and beside each the patch of the denoised image (of
    its middle if it is large) that is nearest to it. Both have one contrast, at least that of the
    noise; gray is their mean. The samples of a mixture lie in a row for each component, and those
    of a VQ-VAE in a row for each code of its first slot: the most frequent ones, with their shares
    of all samples. Others are sorted by their contrast.

    Values are those of the stabilised image.

    Parameters
    ----------
    result : with at least one model or a prior

    Returns
    -------
    (height, width, 3) uint8
    """
    noise = result.noise
    image = torch.from_numpy(noise.stabilise(as_pixels(_middle(result.image))))
    parts: list[Image.Image] = []
    shared = (image, noise.stabilised_sigma, result.seed)
    for vae in result.models:
        parts.append(_effects(vae))
        parts.append(_samples(vae, *shared))
    if result.prior is not None:
        parts.append(_samples(result.prior, *shared))
    height = sum(part.height + GAP for part in parts) - GAP
    canvas = Image.new("RGB", (max(part.width for part in parts), height), "white")
    top = 0
    for part in parts:
        canvas.paste(part, (0, top))
        top += part.height + GAP
    return np.asarray(canvas)


def nearest_patches(wanted: Tensor, image: Tensor, patch_size: int) -> Tensor:
    """The patches of an image that are nearest to given ones; brightness does not count.

    Distances are Euclidean. Of a large image, only patches that lie some pixels apart are compared.

    Parameters
    ----------
    wanted : (n, D), less the mean of each
    image : (height, width, C), of the same type; patches with NaN do not count

    Returns
    -------
    (n, D), less the mean of each
    """
    grid = PatchGrid.of(image, patch_size)

    def extract(index: Tensor) -> Tensor:
        return _without_means(grid.extract(image, index))

    least = wanted.new_full((len(wanted),), torch.inf)
    nearest = torch.zeros(len(wanted), dtype=torch.int64)
    stride = math.ceil(math.sqrt(len(grid) / MOST_COMPARED))
    for index in grid.every(stride).split(CHUNK_SIZE):
        distances = torch.cdist(wanted, extract(index)).nan_to_num(nan=torch.inf)
        found = distances.min(1)
        nearer = found.values < least
        least[nearer], nearest[nearer] = found.values[nearer], index[found.indices[nearer]]
    return extract(nearest)


def rows_of(samples: Samples) -> list[Row]:
    """The samples that are shown: the first ones, or the first ones of the largest groups.

    Without groups, the strongest come first: what is flat gathers at the end.
    """
    if samples.groups is None:
        first = samples.patches[: ROWS * SAMPLES_PER_ROW].cpu()
        numbers = first.std(1).argsort(descending=True, stable=True)
        return [Row("", some) for some in numbers.split(SAMPLES_PER_ROW)]
    groups = samples.groups.cpu()
    counts = groups.bincount()
    largest = counts.argsort(descending=True, stable=True)[:GROUP_ROWS]
    return [
        Row(
            f"{100 * int(counts[group]) / len(groups):.1f} %",
            (groups == group).nonzero().flatten()[:SAMPLES_PER_ROW],
        )
        for group in largest[counts[largest] > 0].tolist()
    ]


def _middle(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """The middle of a large image, (height, width, ...)."""
    top, left = (max(size - SEARCHED_SIDE, 0) // 2 for size in image.shape[:2])
    return image[top : top + SEARCHED_SIDE, left : left + SEARCHED_SIDE]


def _effects(vae: LearnedVAE) -> Image.Image:
    """What each latent adds, under a caption."""
    effects = vae.model.latent_effects().cpu().numpy()  # (H, D)
    order = np.argsort(-vae.model.prior_probs.cpu().numpy(), kind="stable")
    tiles = effects[order].reshape(-1, vae.patch_size, vae.patch_size, vae.channels)
    rows = [tiles[start : start + TILES_PER_ROW] for start in range(0, len(tiles), TILES_PER_ROW)]
    sheet = _sheet([_shown(row, np.abs(row).max((1, 2, 3))) for row in rows], TILES_PER_ROW)
    return _captioned(
        [(0, f"what each latent adds to {_size(vae)} patches, most used first")], [(0, sheet)]
    )


def _samples(prior: PatchPrior, image: Tensor, sigma: float, seed: int) -> Image.Image:
    """Samples and their nearest patches side by side, under captions."""
    samples = prior.sample(DRAWN, seed=seed)
    rows = rows_of(samples)
    numbers = torch.cat([row.numbers for row in rows])
    shown = _without_means(samples.patches.cpu().double()[numbers])
    pairs = torch.stack([shown, nearest_patches(shown, image, prior.patch_size)]).numpy()
    contrasts = np.maximum(np.abs(pairs).max((0, 2)), sigma)
    tiles = pairs.reshape(2, -1, prior.patch_size, prior.patch_size, prior.channels)
    ends = np.cumsum([len(row.numbers) for row in rows])[:-1]
    sheets = [_sheet(np.split(_shown(half, contrasts), ends), SAMPLES_PER_ROW) for half in tiles]
    first = 0 if samples.groups is None else LABEL_WIDTH
    second = first + sheets[0].shape[1] + GAP
    order = "strongest first" if samples.groups is None else f"a row for each {samples.group_name}"
    captions = [
        (first, f"{_size(prior)} samples of the prior, {order}"),
        (second, "nearest patches of the result"),
    ]
    picture = _captioned(captions, [(first, sheets[0]), (second, sheets[1])])
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    height = sheets[0].shape[0] // len(rows)
    for number, row in enumerate(rows):
        middle = CAPTION_HEIGHT + number * height + height // 2
        draw.text((first - GAP, middle), row.label, "black", font, anchor="rm")
    return picture


def _without_means(patches: Tensor) -> Tensor:
    """Patches (n, D), less the mean of each."""
    return patches - patches.mean(1, keepdim=True)


def _size(prior: PatchPrior) -> str:
    return f"{prior.patch_size}x{prior.patch_size}"


def _shown(tiles: Tiles, contrasts: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Tiles (n, p, p, C) as bytes (n, p, p, 3): gray for 0, white for their contrasts (n,)."""
    scale = GRAY / np.maximum(contrasts, 1e-12)
    shown = GRAY + scale[:, None, None, None] * tiles
    if shown.shape[3] != 3:
        shown = shown.mean(3, keepdims=True).repeat(3, 3)
    return to_8bit(shown)


def _sheet(rows: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Rows of at most `columns` tiles (n, p, p, 3), enlarged; what lies between them is black."""
    lines = []
    for row in rows:
        tiles = np.pad(row, ((0, columns - len(row)), (0, 1), (0, 1), (0, 0)))
        side = tiles.shape[1]
        lines.append(tiles.swapaxes(0, 1).reshape(side, columns * side, 3))
    sheet = np.concatenate(lines)
    return sheet.repeat(TILE_ENLARGEMENT, 0).repeat(TILE_ENLARGEMENT, 1)


def _captioned(
    captions: Sequence[tuple[int, str]], sheets: Sequence[tuple[int, NDArray[np.uint8]]]
) -> Image.Image:
    """Sheets beside each other, and a line of captions above; each with its first column."""
    width = max(left + sheet.shape[1] for left, sheet in sheets)
    height = CAPTION_HEIGHT + max(sheet.shape[0] for _, sheet in sheets)
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for left, sheet in sheets:
        canvas.paste(Image.fromarray(sheet), (left, CAPTION_HEIGHT))
    for left, caption in captions:
        draw.text((left + 2, 3), caption, "black", font)
    return canvas
