"""What a song takes besides its tokens, counted in multiplications. No torch."""

import math

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens, level_dilations
from jukebox_core.sampling.windows import hop_tokens, plan_windows
from jukebox_core.units import Level


def alignment_products(prior: JukeboxPriorConfig, num_tokens: int) -> float:
    """Of finding out when the lyrics of a song of so many top tokens are sung.

    0 for a prior whose head for them is not known (`jukebox_core/alignment/attention.py`).
    """
    lyrics, stack = prior.lyrics, prior.transformer
    if lyrics is None or lyrics.alignment_layer is None or lyrics.alignment_head is None:
        return 0.0
    layer = 4 * stack.width * stack.attention_width + 2 * stack.width * stack.mlp_width
    windows = plan_windows(num_tokens, prior.context_tokens, hop_tokens(prior, None, 1))
    positions = sum(prior.num_prefix_tokens + each.end - each.start for each in windows)
    return float(layer) * lyrics.alignment_layer * positions


def decoder_products(config: JukeboxConfig, level: Level, num_tokens: int) -> float:
    """Of decoding so many tokens of a level, in pieces that overlap."""
    # A piece is at least as long as all that surrounds it (`jukebox_core/vqvae/chunks.py`).
    around = 2 * decoder_reach_tokens(config.vqvae, level)
    num_joins = math.ceil(num_tokens / around) - 1 if num_tokens else 0
    return _coder_products(config.vqvae, level) * (num_tokens + num_joins * around)


def encoder_products(config: JukeboxConfig, level: Level, num_tokens: int) -> float:
    """Of making so many tokens of a level from sound."""
    return _coder_products(config.vqvae, level) * num_tokens


def _coder_products(codec: JukeboxVQVAEConfig, level: Level) -> float:
    """Of the residual layers for one token, which are nearly all; encoder and decoder are alike."""
    width = codec.width * codec.width_multipliers[level]
    layer = 4 * width * int(codec.conv_width_ratio * width)
    steps, rate = 0, codec.samples_per_token[level]
    for block in range(level + 1):
        for _ in range(codec.downs[block]):
            rate //= codec.strides[block]
            steps += rate
    return float(layer * len(level_dilations(codec, level)) * steps)
