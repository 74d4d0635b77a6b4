"""The released models as data: the original's hyperparameters (`hparams.py`), resolved.

The weights themselves are OpenAI's, under a noncommercial licence, and are not part of this
project.
"""

from collections.abc import Mapping
from typing import Any

from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import ConfigError

_VQVAE: Mapping[str, Any] = {
    "levels": 3,
    "downs_t": (3, 2, 2),
    "strides_t": (2, 2, 2),
    "emb_width": 64,
    "l_bins": 2048,
    "width": 32,
    "depth": 4,
    "m_conv": 1.0,
    "dilation_growth_rate": 3,
    "hvqvae_multipliers": (2, 1, 1),
    "l_mu": 0.99,
    "commit": 0.02,
    "spectral": 0.0,
    "multispectral": 1.0,
}

_V2_LABELS: Mapping[str, Any] = {
    "labels": True,
    "y_bins": (120, 4111),
    "t_bins": 128,
    "max_bow_genre_size": 5,
    "max_duration": 600.0,
}

_UPSAMPLER: Mapping[str, Any] = {
    **_V2_LABELS,
    "n_ctx": 8192,
    "prior_width": 1920,
    "prior_depth": 72,
    "heads": 1,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.4,
    "cond_width": 1024,
    "cond_depth": 16,
    "cond_dilation_growth_rate": 3,
    "cond_dilation_cycle": 8,
    # Upsamplers embed no time, so these bound nothing but what the original's sampler accepts.
    "min_duration": 1.0,
}

_UPSAMPLERS: tuple[Mapping[str, Any], ...] = (
    {**_UPSAMPLER, "level": 1, "cond_res_scale": True},
    {**_UPSAMPLER, "level": 0, "cond_res_scale": False},
)

_5B: Mapping[str, Any] = {
    **_V2_LABELS,
    "level": 2,
    "n_ctx": 8192,
    "prior_width": 4800,
    "prior_depth": 72,
    "heads": 8,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.1,
    "min_duration": 60.0,
    "merged_decoder": True,
    "fp16_params": True,
}

_TOPS: Mapping[str, Mapping[str, Any]] = {
    "5b": _5B,
    "5b_lyrics": {
        **_5B,
        "prior_depth": 79,
        "attn_order": 10,
        "min_duration": 23.8,
        "use_tokens": True,
        "n_tokens": 512,
        "n_vocab": 80,
        "prime_loss_fraction": 0.4,
        "prime_width": 1280,
        "prime_depth": 18,
        "prime_heads": 4,
        "prime_attn_order": 2,
        "prime_blocks": 32,
        "prime_init_scale": 0.7,
        "alignment_layer": 68,
        "alignment_head": 2,
    },
    "1b_lyrics": {
        "level": 2,
        "labels": True,
        "labels_v3": True,
        "y_bins": (604, 7898),
        "t_bins": 64,
        "max_bow_genre_size": 1,
        "min_duration": 17.84,
        "max_duration": 600.0,
        "n_ctx": 6144,
        "prior_width": 2048,
        "prior_depth": 72,
        "heads": 2,
        "attn_order": 12,
        "blocks": 64,
        "init_scale": 0.2,
        "use_tokens": True,
        "n_tokens": 384,
        "n_vocab": 79,
        "prime_loss_fraction": 0.4,
        "single_enc_dec": True,
        "alignment_layer": 63,
        "alignment_head": 0,
    },
}

RELEASED_MODELS: tuple[str, ...] = tuple(_TOPS)
"""Names of the models that OpenAI released."""


def released_config(name: str) -> JukeboxConfig:
    """The configuration of a released model.

    Raises:
        ConfigError: the name is none of `RELEASED_MODELS`.
    """
    if name not in _TOPS:
        raise ConfigError(f"{name!r} was not released: {', '.join(RELEASED_MODELS)}")
    return JukeboxConfig.from_openai(_VQVAE, [_TOPS[name], *_UPSAMPLERS], name=name)
