"""How far a decoder looks, and how to cut a long stream of codes; plain Python.

A decoder is a stack of convolutions with zero padding, so a cut changes what is near it. Chunks
therefore overlap by all that one token can reach, and the overlap is thrown away.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.units import Level
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

    For the released model (5,742, 80, 82), bottom first. A post-filter reaches further.
    """
    # The samples of token 0, followed backwards through the layers to the codes they come from.
    first, last = 0, config.samples_per_token[level] - 1
    if config.post_filter is not None and level == Level.BOTTOM:
        reach_samples = config.post_filter.reach_samples
        first, last = first - reach_samples, last + reach_samples
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


def decoder_grid_tokens(config: JukeboxVQVAEConfig, level: int) -> int:
    """A piece must begin at a multiple of so many tokens: where a frame of the post-filter does."""
    if config.post_filter is None or level != Level.BOTTOM:
        return 1
    samples = config.samples_per_token[level]
    return config.post_filter.hop // math.gcd(config.post_filter.hop, samples)


def near_chunk_tokens(config: JukeboxVQVAEConfig, level: int) -> int:
    """New tokens per piece where a processor decodes: few, but not fewer than surround them.

    A decoder is bound by memory there: pieces of 2 s of a small model at 16 kHz take half as long
    as the whole.
    """
    near = NEAR_SAMPLES // config.samples_per_token[level]
    return max(near, 2 * decoder_reach_tokens(config, level), 1)


def on_grid(token: int, grid_tokens: int) -> int:
    """The last multiple of `grid_tokens` that is not behind `token`; 0 for what is before it."""
    return max(token, 0) // grid_tokens * grid_tokens


def plan_chunks(
    num_tokens: int, chunk_tokens: int, reach_tokens: int, grid_tokens: int = 1
) -> Iterator[Chunk]:
    """Cut [0, num_tokens) into pieces of `chunk_tokens`, each with its surroundings.

    `start` is a multiple of `grid_tokens`.
    """
    for start in range(0, num_tokens, chunk_tokens):
        end = min(start + chunk_tokens, num_tokens)
        yield Chunk(
            start=on_grid(start - reach_tokens, grid_tokens),
            keep_start=start,
            keep_end=end,
            end=min(end + reach_tokens, num_tokens),
        )
