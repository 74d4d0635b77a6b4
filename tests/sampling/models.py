"""Configurations of three-level models of any proportions, without weights."""

from jukebox_core.config import (
    AttentionKind,
    ConditionerConfig,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
    LabelConfig,
    TransformerConfig,
)
from jukebox_core.units import COARSE_TO_FINE, Level


def label_config(min_sec: float, max_sec: float) -> LabelConfig:
    return LabelConfig(
        version="v2",
        num_genres=2,
        num_artists=2,
        max_genres=5,
        num_time_bins=4,
        min_duration_sec=min_sec,
        max_duration_sec=max_sec,
    )


def model_config(
    *,
    sample_rate_hz: int = 44_100,
    downs: tuple[int, int, int] = (3, 2, 2),
    contexts: tuple[int, int, int] = (8192, 8192, 8192),
    song_range_sec: tuple[float, float] | None = (23.8, 600.0),
) -> JukeboxConfig:
    """`contexts` in tokens, top first; no labels when `song_range_sec` is None."""
    vqvae = JukeboxVQVAEConfig(sample_rate_hz=sample_rate_hz, downs=downs)
    labels = None if song_range_sec is None else label_config(*song_range_sec)
    top, middle, bottom = (
        _prior(vqvae, level, context, labels)
        for level, context in zip(COARSE_TO_FINE, contexts, strict=True)
    )
    return JukeboxConfig(vqvae=vqvae, priors=(top, middle, bottom))


def _prior(
    vqvae: JukeboxVQVAEConfig, level: Level, context_tokens: int, labels: LabelConfig | None
) -> JukeboxPriorConfig:
    return JukeboxPriorConfig(
        level=level,
        context_tokens=context_tokens,
        num_codes=vqvae.num_codes,
        sample_rate_hz=vqvae.sample_rate_hz,
        samples_per_token=vqvae.samples_per_token[level],
        transformer=TransformerConfig(
            width=8,
            layers=(AttentionKind.ROW,),
            num_heads=1,
            num_blocks=1,
            context_tokens=context_tokens,
        ),
        labels=labels,
        conditioner=None if level.upper is None else _conditioner(vqvae, level.upper),
    )


def _conditioner(vqvae: JukeboxVQVAEConfig, upper: Level) -> ConditionerConfig:
    return ConditionerConfig(
        width=8,
        depth=1,
        dilation_growth_rate=1,
        dilation_cycle=1,
        scale_residuals=False,
        down=vqvae.downs[upper],
        stride=vqvae.strides[upper],
    )
