"""Other ways to denoise, for comparison; table.py has all methods by name, ours included.

Other ways to train a VAE with discrete or mixed latents see the same patches as our own VAE, know
the noise, and are trained on the one noisy image alone (other_vaes.py; options.py has their
settings). Zero-Shot Noise2Noise and classic filters see the whole image (whole_image.py).
"""
