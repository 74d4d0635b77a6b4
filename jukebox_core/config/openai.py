"""The original's hyperparameters (`hparams.py`, or the `hps` of a checkpoint) in our words."""

from collections.abc import Mapping
from typing import Any

from jukebox_core.config.prior import (
    ConditionerConfig,
    JukeboxPriorConfig,
    LabelConfig,
    LyricConfig,
)
from jukebox_core.config.transformer import TransformerConfig, attention_layers
from jukebox_core.config.vqvae import JukeboxVQVAEConfig
from jukebox_core.units import Level


def vqvae_from_openai(vqvae: Mapping[str, Any], sample_rate_hz: int) -> JukeboxVQVAEConfig:
    """The codec that a dictionary of hyperparameters describes. Raises KeyError, ConfigError."""
    return JukeboxVQVAEConfig(
        sample_rate_hz=sample_rate_hz,
        downs=tuple(vqvae["downs_t"]),
        strides=tuple(vqvae["strides_t"]),
        num_codes=vqvae["l_bins"],
        embedding_width=vqvae["emb_width"],
        width=vqvae["width"],
        depth=vqvae["depth"],
        width_multipliers=tuple(vqvae["hvqvae_multipliers"]),
        conv_width_ratio=vqvae.get("m_conv", 1.0),
        dilation_growth_rate=vqvae["dilation_growth_rate"],
        codebook_decay=vqvae.get("l_mu", 0.99),
        commit_weight=vqvae.get("commit", 0.02),
        spectral_weight=vqvae.get("spectral", 0.0),
        multispectral_weight=vqvae.get("multispectral", 1.0),
    )


def prior_from_openai(hps: Mapping[str, Any], codec: JukeboxVQVAEConfig) -> JukeboxPriorConfig:
    """The prior that a dictionary of hyperparameters describes. Raises KeyError, ConfigError."""
    level = Level(hps["level"])
    lyrics = _lyrics_from_openai(hps)
    merged = lyrics is not None and lyrics.encoder is None
    prefix_tokens = lyrics.num_tokens if lyrics is not None and merged else 0
    return JukeboxPriorConfig(
        level=level,
        context_tokens=hps["n_ctx"],
        num_codes=codec.num_codes,
        sample_rate_hz=codec.sample_rate_hz,
        samples_per_token=codec.samples_per_token[level],
        transformer=TransformerConfig(
            width=hps["prior_width"],
            layers=attention_layers(hps["attn_order"], hps["prior_depth"]),
            num_heads=hps["heads"],
            num_blocks=hps["blocks"],
            context_tokens=hps["n_ctx"] + prefix_tokens,
            init_scale=hps.get("init_scale", 1.0),
            attention_width_ratio=hps.get("m_attn", 0.25),
            mlp_width_ratio=hps.get("m_mlp", 1.0),
        ),
        labels=_labels_from_openai(hps),
        lyrics=lyrics,
        conditioner=_conditioner_from_openai(hps, codec) if level.upper is not None else None,
        tied_embeddings=not hps.get("merged_decoder", False),
        half_weights=hps.get("fp16_params", False),
        default_hop_fraction=0.125 if level is Level.TOP else 0.5,
    )


def _labels_from_openai(hps: Mapping[str, Any]) -> LabelConfig | None:
    if not hps.get("labels", True):
        return None
    num_genres, num_artists = hps["y_bins"]
    return LabelConfig(
        version="v3" if hps.get("labels_v3", False) else "v2",
        num_genres=num_genres,
        num_artists=num_artists,
        max_genres=hps["max_bow_genre_size"],
        num_time_bins=hps["t_bins"],
        min_duration_sec=hps["min_duration"],
        max_duration_sec=hps["max_duration"],
    )


def _lyrics_from_openai(hps: Mapping[str, Any]) -> LyricConfig | None:
    if not hps.get("use_tokens", False):
        return None
    encoder = None
    if not hps.get("single_enc_dec", False):
        encoder = TransformerConfig(
            width=hps["prime_width"],
            layers=attention_layers(hps["prime_attn_order"], hps["prime_depth"]),
            num_heads=hps["prime_heads"],
            num_blocks=hps["prime_blocks"],
            context_tokens=hps["n_tokens"],
            init_scale=hps.get("prime_init_scale", 1.0),
            attention_width_ratio=hps.get("prime_m_attn", 0.25),
            mlp_width_ratio=hps.get("prime_m_mlp", 1.0),
        )
    return LyricConfig(
        num_tokens=hps["n_tokens"],
        num_characters=hps["n_vocab"],
        loss_weight=hps.get("prime_loss_fraction", 0.0),
        encoder=encoder,
        alignment_layer=hps.get("alignment_layer"),
        alignment_head=hps.get("alignment_head"),
    )


def _conditioner_from_openai(
    hps: Mapping[str, Any], codec: JukeboxVQVAEConfig
) -> ConditionerConfig:
    upper = Level(hps["level"] + 1)
    return ConditionerConfig(
        width=hps["cond_width"],
        depth=hps["cond_depth"],
        dilation_growth_rate=hps["cond_dilation_growth_rate"],
        dilation_cycle=hps["cond_dilation_cycle"],
        scale_residuals=hps.get("cond_res_scale", False),
        down=codec.downs[upper],
        stride=codec.strides[upper],
        conv_width_ratio=hps.get("cond_m_conv", 1.0),
    )
