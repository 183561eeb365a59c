"""Other ways to denoise, for comparison; table.py has all methods by name, ours included.

Other VAEs with discrete or mixed latents (vaes/) and a mixture of factor analysers (mfa/) see the
same patches as our own VAE, know the noise, and are trained on the one noisy image alone. Zero-Shot
Noise2Noise and classic filters see the whole image (whole_image.py). Our refinement can follow any
of them (refined.py).
"""
