"""How far a decoder looks, and how to cut a long stream of codes; plain Python.

A decoder is a stack of convolutions with zero padding, so a cut changes what is near it. Chunks
therefore overlap by all that one token can reach, and the overlap is thrown away.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.units import Level

NEAR_SAMPLES = 2**15
"""Audio whose activations stay in the caches of a processor core, at 32 channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Tokens [start, end) are decoded for the sake of tokens [keep_start, keep_end)."""

    start: int
    keep_start: int
    keep_end: int
    end: int


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
