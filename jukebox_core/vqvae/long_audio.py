"""Encoding audio of any length in pieces that overlap by all that one code depends on."""

from collections.abc import Iterator

import torch
from torch import Tensor

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import level_dilations
from jukebox_core.errors import AudioError
from jukebox_core.vqvae.chunks import plan_chunks
from jukebox_core.vqvae.model import JukeboxVQVAE

ENCODE_CHUNK_SAMPLES = 2**19
"""Audio encoded at a time unless told otherwise: 12 s at 44.1 kHz."""


def encoder_reach_tokens(config: JukeboxVQVAEConfig, level: int) -> int:
    """Tokens to either side whose audio one code of `level` depends on."""
    # Token 0, followed backwards through the layers to the samples it is made from.
    first = last = 0
    residual_reach = sum(level_dilations(config, level))
    for block in reversed(range(level + 1)):
        first, last = first - 1, last + 1  # the output convolution, kernel 3
        stride = config.strides[block]
        for _ in range(config.downs[block]):
            first, last = first - residual_reach, last + residual_reach
            padding, kernel = stride // 2, 2 * stride
            first, last = first * stride - padding, last * stride - padding + kernel - 1
    hop = config.samples_per_token[level]
    return max(-(first // hop), last // hop)


@torch.no_grad()
def iter_encode(
    vqvae: JukeboxVQVAE,
    audio: Tensor,
    level: int,
    chunk_tokens: int | None = None,
    *,
    full_scale: float = 1.0,
) -> Iterator[Tensor]:
    """The codes of `level` that `vqvae.encode` gives, piece by piece.

    Working memory does not grow with the length: pieces go to the weights' device one at a time.

    audio         float32 [B, T, 1] on any device; a tail shorter than one token is left out
    chunk_tokens  codes per piece; None: about twelve seconds
    full_scale    the audio is divided by it, piece by piece
    yields        int64 [B, n] one after the other

    Raises:
        AudioError: the audio has another shape, or is shorter than one token.
    """
    hop = vqvae.config.samples_per_token[level]
    if audio.ndim != 3 or audio.shape[2] != 1 or audio.shape[1] < hop:
        raise AudioError(
            f"audio has the shape {tuple(audio.shape)}; wanted [batch, samples, 1] with at least "
            f"{hop} samples"
        )
    device = next(vqvae.parameters()).device
    reach_tokens = encoder_reach_tokens(vqvae.config, level)
    size = chunk_tokens or max(ENCODE_CHUNK_SAMPLES // hop, 1)
    for chunk in plan_chunks(audio.shape[1] // hop, size, reach_tokens):
        piece = audio[:, chunk.start * hop : chunk.end * hop]
        if full_scale != 1.0:
            piece = piece / full_scale  # before it goes to a device, whose division may differ
        (codes,) = vqvae.encode(piece.to(device), start_level=level, end_level=level + 1)
        yield codes[:, chunk.keep_start - chunk.start : chunk.keep_end - chunk.start]


def encode_chunked(
    vqvae: JukeboxVQVAE,
    audio: Tensor,
    level: int,
    chunk_tokens: int | None = None,
    *,
    full_scale: float = 1.0,
) -> Tensor:
    """All pieces of `iter_encode` in one: int64 [B, T // samples_per_token]."""
    pieces = iter_encode(vqvae, audio, level, chunk_tokens, full_scale=full_scale)
    return torch.cat(list(pieces), dim=1)
