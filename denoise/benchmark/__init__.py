"""Honest numbers: our presets, other methods and other VAEs on the same noisy images."""

from typing import Literal

# "unclipped": the noisy image is float; "clipped8": whole gray levels. See protocol.py.
ProtocolName = Literal["unclipped", "clipped8"]
# What is to be done about the images: noise, missing pixels, or both.
Task = Literal["denoising", "inpainting"]
