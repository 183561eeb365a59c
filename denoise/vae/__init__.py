"""The binary-latent VAE: model, search, learning, reconstruction."""
