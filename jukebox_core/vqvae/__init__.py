"""The VQ-VAE: audio <-> codes of three levels."""

from jukebox_core.vqvae.model import JukeboxVQVAE, VQVAEOutput

__all__ = ["JukeboxVQVAE", "VQVAEOutput"]
