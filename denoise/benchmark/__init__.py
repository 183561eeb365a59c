"""Honest numbers: our presets, other methods and other VAEs on the same noisy images."""
