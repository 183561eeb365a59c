"""Published values of other methods, never measured here."""

from __future__ import annotations

# Mean PSNR in dB over Set12's 01 to 07 by sigma; the papers' own noise.
PUBLISHED: dict[str, dict[float, float]] = {
    "BM3D": {15: 32.14, 25: 29.66, 50: 26.34},
    "WNNM": {15: 32.55, 25: 30.00, 50: 26.72},
    "ZS-NCD (one image)": {15: 31.96, 25: 29.55, 50: 25.87},
    "DnCNN-S (trained on other images)": {15: 32.81, 25: 30.34, 50: 27.03},
}
PUBLISHED_SOURCE = (
    "Published rows: means over the same images of the values in the tables of ADNet (Tian et al.,"
    " Neural Networks 2020) and, for ZS-NCD at its best iteration, of arXiv 2506.12693; other noise"
    " than the measured rows."
)
