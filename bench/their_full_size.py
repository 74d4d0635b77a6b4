"""Priors of the released sizes in transformers, with random weights, made where they are needed."""

from typing import Any

import torch
from transformers.models.deprecated.jukebox.configuration_jukebox import JukeboxPriorConfig
from transformers.models.deprecated.jukebox.modeling_jukebox import JukeboxPrior

from jukebox_core.config import JukeboxPriorConfig as OurPriorConfig
from jukebox_core.config import TransformerConfig
from jukebox_core.units import COARSE_TO_FINE

_PATTERNS = {
    "1b_lyrics": "enc_dec_with_lyrics",
    "5b_lyrics": "large_separated_enc_dec_w_lyrics",
}
_RAW_PATTERN = "raw_column_previous_row_attention"


def their_prior(
    name: str, ours: OurPriorConfig, device: torch.device, dtype: torch.dtype
) -> JukeboxPrior:
    """The prior of a measurement (`FULL_SIZE`) in their class, all of it in `dtype`."""
    level = COARSE_TO_FINE.index(ours.level)
    with torch.device("meta"):
        prior = JukeboxPrior(JukeboxPriorConfig(**_values(name, ours, level)), level=level)
    # They keep no buffers, so that nothing but weights is left to be filled.
    prior = prior.to(dtype).to_empty(device=device).eval()
    with torch.no_grad():
        for key, weight in prior.named_parameters():
            is_norm = weight.ndim == 1 and key.endswith("weight")
            weight.fill_(1.0) if is_norm else weight.normal_(std=0.02)
    return prior


def _values(name: str, ours: OurPriorConfig, level: int) -> dict[str, Any]:
    lyrics, conditioner = ours.lyrics, ours.conditioner
    has_encoder = lyrics is not None and lyrics.encoder is not None
    values = {
        **_stack(ours.transformer),
        "attention_pattern": _PATTERNS.get(name, _RAW_PATTERN),
        "level": level,
        "n_ctx": ours.context_tokens,
        "music_vocab_size": ours.num_codes,
        "is_encoder_decoder": lyrics is not None and not has_encoder,
        "merged_decoder": has_encoder,
        "nb_relevant_lyric_tokens": 0 if lyrics is None else lyrics.num_tokens,
        "lyric_vocab_size": 80 if lyrics is None else lyrics.num_characters,
        **_labels(ours),
        "sampling_rate": ours.sample_rate_hz,
        "res_downs_t": [3, 2, 2],
        "res_strides_t": [2, 2, 2],
    }
    if has_encoder:
        values["encoder_config"] = {
            **_stack(lyrics.encoder),
            "attention_pattern": _RAW_PATTERN,
            "n_ctx": lyrics.num_tokens,
            "is_encoder_decoder": False,
            "music_vocab_size": lyrics.num_characters,
            "lyric_vocab_size": lyrics.num_characters,
            "nb_relevant_lyric_tokens": 0,
        }
    if conditioner is not None:
        values |= {
            "res_conv_width": conditioner.width,
            "res_conv_depth": conditioner.depth,
            "res_dilation_growth_rate": conditioner.dilation_growth_rate,
            "res_dilation_cycle": conditioner.dilation_cycle,
            "conv_res_scale": conditioner.scale_residuals,
        }
    return values


def _labels(ours: OurPriorConfig) -> dict[str, Any]:
    labels = ours.labels
    if labels is None:
        raise ValueError("theirs have no priors without labels")
    return {
        "max_nb_genres": labels.max_genres,
        "metadata_dims": [labels.num_genres, labels.num_artists],
        "timing_dims": labels.num_time_bins,
        "min_duration": labels.min_duration_sec,
        "max_duration": labels.max_duration_sec,
    }


def _stack(config: TransformerConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.width,
        "num_layers": len(config.layers),
        "n_heads": config.num_heads,
        "blocks": config.num_blocks,
        "attention_multiplier": config.attention_width / config.width,
        "mask": True,
    }
