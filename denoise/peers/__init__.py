"""Other ways to train a VAE with discrete or mixed latents, for comparison.

All of them see the same patches as our own VAE, know sigma, and are trained on the one noisy
image alone; see pipeline.py.
"""

from denoise.peers.options import (
    GumbelOptions,
    MixtureOptions,
    NashOptions,
    PeerOptions,
    PeerTraining,
    VQOptions,
)
from denoise.peers.pipeline import PeerResult, denoise_with_peer, peer_options

__all__ = [
    "GumbelOptions",
    "MixtureOptions",
    "NashOptions",
    "PeerOptions",
    "PeerResult",
    "PeerTraining",
    "VQOptions",
    "denoise_with_peer",
    "peer_options",
]
