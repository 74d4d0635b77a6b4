"""How far a decoder looks, and how to cut a long stream of codes; plain Python.

A decoder is a stack of convolutions with zero padding, so a cut changes what is near it. Chunks
therefore overlap by all that one token can reach, and the overlap is thrown away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.vqvae.conv import level_dilations

NEAR_SAMPLES = 2**15
"""Audio whose activations stay in the caches of a processor core, at 32 channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Tokens [start, end) are decoded for the sake of tokens [keep_start, keep_end)."""

    start: int
    keep_start: int
    keep_end: int
    end: int


def decoder_reach_tokens(config: JukeboxVQVAEConfig, level: int) -> int:
    """Tokens to either side that the audio of one token depends on.

    For the released model (5,742, 80, 82), bottom first.
    """
    # The samples of token 0, followed backwards through the layers to the codes they come from.
    first, last = 0, config.samples_per_token[level] - 1
    first, last = first - 1, last + 1  # the output convolution, kernel 3
    residual_reach = sum(level_dilations(config, level))
    for block in range(level + 1):
        stride = config.strides[block]
        for _ in range(config.downs[block]):
            first, last = _through_transposed(first, last, stride)
            first, last = first - residual_reach, last + residual_reach
        first, last = first - 1, last + 1  # the input convolution, kernel 3
    return max(-first, last)


def _through_transposed(first: int, last: int, stride: int) -> tuple[int, int]:
    """Inputs that outputs [first, last] of a kernel of twice the stride are made from."""
    padding, kernel = stride // 2, 2 * stride
    return -((kernel - 1 - padding - first) // stride), (last + padding) // stride


def near_chunk_tokens(config: JukeboxVQVAEConfig, level: int) -> int:
    """New tokens per piece where a processor decodes: few, but not fewer than surround them.

    A decoder is bound by memory there: pieces of 2 s of a small model at 16 kHz take half as long
    as the whole.
    """
    near = NEAR_SAMPLES // config.samples_per_token[level]
    return max(near, 2 * decoder_reach_tokens(config, level), 1)


def plan_chunks(num_tokens: int, chunk_tokens: int, reach_tokens: int) -> Iterator[Chunk]:
    """Cut [0, num_tokens) into pieces of `chunk_tokens`, each with its surroundings."""
    for start in range(0, num_tokens, chunk_tokens):
        end = min(start + chunk_tokens, num_tokens)
        yield Chunk(
            start=max(start - reach_tokens, 0),
            keep_start=start,
            keep_end=end,
            end=min(end + reach_tokens, num_tokens),
        )
