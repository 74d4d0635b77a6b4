"""What follows from the codec in the priors of a small model; `tiny` and recipes build on it."""

from jukebox_core.config.prior import (
    ConditionerConfig,
    JukeboxPriorConfig,
    LabelConfig,
    LyricConfig,
)
from jukebox_core.config.transformer import TransformerConfig
from jukebox_core.config.vqvae import JukeboxVQVAEConfig
from jukebox_core.units import Level


def prior_over(
    codec: JukeboxVQVAEConfig,
    level: Level,
    *,
    transformer: TransformerConfig,
    labels: LabelConfig,
    lyrics: LyricConfig | None,
    conditioner_width: int,
    conditioner_cycle: int,
) -> JukeboxPriorConfig:
    """The prior of one level over `codec`; only the top prior reads `lyrics`.

    An upsampler is told the codes above by a conditioner that undoes one stage of the codec, and
    has tied embeddings. Windows advance by half.
    """
    upper = level.upper
    conditioner = None
    if upper is not None:
        conditioner = ConditionerConfig(
            width=conditioner_width,
            depth=4,
            dilation_growth_rate=3,
            dilation_cycle=conditioner_cycle,
            scale_residuals=True,
            down=codec.downs[upper],
            stride=codec.strides[upper],
        )
    return JukeboxPriorConfig(
        level=level,
        context_tokens=transformer.context_tokens,
        num_codes=codec.num_codes,
        sample_rate_hz=codec.sample_rate_hz,
        samples_per_token=codec.samples_per_token[level],
        transformer=transformer,
        labels=labels,
        lyrics=lyrics if upper is None else None,
        conditioner=conditioner,
        tied_embeddings=upper is not None,
        default_hop_fraction=0.5,
    )
