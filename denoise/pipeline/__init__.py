"""The whole method, from noisy arrays to denoised ones: image.py for one, series.py, tiles.py."""
