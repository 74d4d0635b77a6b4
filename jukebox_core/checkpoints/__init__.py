"""Weights from files: the original's, those of transformers 4, and our own directories."""

from jukebox_core.checkpoints.load import load_directory, load_prior_of, load_vqvae_of
from jukebox_core.checkpoints.native import save_directory
from jukebox_core.checkpoints.openai import load_openai, load_openai_prior, load_openai_vqvae
from jukebox_core.checkpoints.parts import LoadedParts
from jukebox_core.models.download import sha256_of

__all__ = [
    "LoadedParts",
    "load_directory",
    "load_openai",
    "load_openai_prior",
    "load_openai_vqvae",
    "load_prior_of",
    "load_vqvae_of",
    "save_directory",
    "sha256_of",
]
