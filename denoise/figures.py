"""Pictures that show a result: images side by side, with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from denoise.formats.image_file import PEAK, ImageFile, to_8bit
from denoise.report import Quality
from denoise.vae import LearnedVAE

CAPTION_HEIGHT = 24
GAP = 8
# Smaller images are enlarged, by a whole factor, to at least this width.
LEAST_WIDTH = 256
# Of the values of a float image that is shown.
LEAST_RANGE = 1e-30
TILES_PER_ROW = 32
TILE_ENLARGEMENT = 3


def captioned_panels(
    noisy: ImageFile, denoised: ImageFile, reference: ImageFile | None, quality: Quality | None
) -> list[tuple[str, NDArray[np.float32]]]:
    """Captions and images on 0..255; floats are stretched so that the denoised ones fill it."""
    low, high = 0.0, PEAK
    if noisy.is_float:
        low, high = float(denoised.pixels.min()), float(denoised.pixels.max())

    def shown(image: ImageFile) -> NDArray[np.float32]:
        scale = PEAK / max(high - low, LEAST_RANGE)
        scaled: NDArray[np.float32] = (image.pixels - low) * np.float32(scale)
        return np.nan_to_num(scaled)

    if reference is None or quality is None:
        return [("noisy", shown(noisy)), ("denoised", shown(denoised))]
    return [
        (f"noisy, {quality.psnr_noisy:.2f} dB", shown(noisy)),
        (f"denoised, {quality.psnr:.2f} dB", shown(denoised)),
        ("clean reference", shown(reference)),
    ]


def side_by_side(panels: Sequence[tuple[str, NDArray[np.float32]]]) -> NDArray[np.uint8]:
    """Set images of one size in a row, each under its caption.

    Parameters
    ----------
    panels : (caption, image) pairs; images (height, width) or (height, width, 3), 0..255

    Returns
    -------
    (height', width', 3) uint8
    """
    height, width = panels[0][1].shape[:2]
    factor = -(-LEAST_WIDTH // width)
    size = (width * factor, height * factor)
    canvas = Image.new(
        "RGB",
        (len(panels) * (size[0] + GAP) - GAP, CAPTION_HEIGHT + size[1]),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for number, (caption, pixels) in enumerate(panels):
        left = number * (size[0] + GAP)
        draw.text((left + 2, 3), caption, fill="black", font=font)
        panel = Image.fromarray(to_8bit(pixels)).resize(size, Image.Resampling.NEAREST)
        canvas.paste(panel, (left, CAPTION_HEIGHT))
    return np.asarray(canvas)


def draw_models(models: Sequence[LearnedVAE]) -> NDArray[np.uint8]:
    """What each latent adds to a patch, the most used latents first, models below each other.

    For the amplitude model that is its vector; for the published one, the change of the
    decoder's mean when only this latent is switched on. Gray is no change; each tile has its
    own contrast.

    Returns
    -------
    (height, width, 3) uint8
    """
    sheets = [_sheet(vae) for vae in models]
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(s, ((0, GAP), (0, width - s.shape[1]), (0, 0))) for s in sheets]
    return np.concatenate(padded)[:-GAP]


def _sheet(vae: LearnedVAE) -> NDArray[np.uint8]:
    tiles = vae.model.latent_effects().cpu().numpy()  # (H, D)
    order = np.argsort(-vae.model.prior_probs.cpu().numpy(), kind="stable")
    tiles = tiles[order].reshape(len(tiles), vae.patch_size, vae.patch_size, vae.channels)
    largest = np.abs(tiles).max(axis=(1, 2, 3), keepdims=True)
    tiles = 127.5 + 127.5 * tiles / np.maximum(largest, 1e-12)
    if vae.channels != 3:
        tiles = tiles.mean(3, keepdims=True).repeat(3, 3)
    tiles = np.pad(to_8bit(tiles), ((0, 0), (0, 1), (0, 1), (0, 0)))
    rows = -(-len(tiles) // TILES_PER_ROW)
    tiles = np.pad(tiles, ((0, rows * TILES_PER_ROW - len(tiles)), (0, 0), (0, 0), (0, 0)))
    side = tiles.shape[1]
    sheet = tiles.reshape(rows, TILES_PER_ROW, side, side, 3).swapaxes(1, 2)
    sheet = sheet.reshape(rows * side, TILES_PER_ROW * side, 3)
    return sheet.repeat(TILE_ENLARGEMENT, 0).repeat(TILE_ENLARGEMENT, 1)
