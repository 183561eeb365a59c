"""Other ways to train a VAE with discrete or mixed latents, for comparison.

All of them see the same patches as our own VAE, know sigma, and are trained on the one noisy
image alone; see pipeline.py, and options.py for their names and settings.
"""
