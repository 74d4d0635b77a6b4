"""Which codec made a song's codes: the identity of each codebook."""

import hashlib

import torch

from jukebox_core.units import Level
from jukebox_core.vqvae.codebook import Codebook
from jukebox_core.vqvae.model import JukeboxVQVAE

_ID_DIGITS = 16


def codebook_ids(vqvae: JukeboxVQVAE) -> dict[Level, str]:
    """16 hex digits for the codebook of each level.

    Codes are rows of a table, so they mean something only with the codebook of their own level;
    levels are independent. Copies of a model in half and in full precision have the same ids.
    """
    return {level: _codebook_id(vqvae.codebooks[level]) for level in Level}


def _codebook_id(codebook: torch.nn.Module) -> str:
    assert isinstance(codebook, Codebook)
    rounded = codebook.codes.detach().to("cpu", torch.float16).contiguous()
    return hashlib.sha256(rounded.numpy().tobytes()).hexdigest()[:_ID_DIGITS]
