"""How far the decoder of a level looks, found out from its configuration."""

from jukebox_core.config.vqvae import JukeboxVQVAEConfig
from jukebox_core.units import Level


def level_dilations(config: JukeboxVQVAEConfig, level: int) -> tuple[int, ...]:
    """Dilations of one residual stack of an encoder of `level`, first layer first.

    The multiplier widens and deepens alike.
    """
    depth = config.depth * config.width_multipliers[level]
    cycle = config.dilation_cycle or depth
    return tuple(config.dilation_growth_rate ** (layer % cycle) for layer in range(depth))


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
