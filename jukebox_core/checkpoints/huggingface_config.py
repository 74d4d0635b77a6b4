"""`config.json` of transformers 4 (`JukeboxConfig` there) -> our configuration.

Defaults are those of `configuration_jukebox.py` of transformers 4.57.6, because its files may leave
out what equals the default. What that library shares between all priors when it builds a model
(time bins, durations, number of genres, sampling rate) is taken from the top of the file, too.
"""

from collections.abc import Mapping
from typing import Any

from jukebox_core.config import (
    ConditionerConfig,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
    LabelConfig,
    LabelVersion,
    LyricConfig,
    TransformerConfig,
    attention_layers,
)
from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level

_ATTN_ORDERS = {
    "raw_column_previous_row_attention": 2,
    "large_separated_enc_dec_w_lyrics": 10,
    "enc_dec_with_lyrics": 12,
}

_V3_METADATA_DIMS = [604, 7898]

_MODEL_DEFAULTS: Mapping[str, Any] = {
    "sampling_rate": 44_100,
    "timing_dims": 64,
    "min_duration": 0,
    "max_duration": 600.0,
    "max_nb_genres": 5,
    "metadata_conditioning": True,
}

_VQVAE_DEFAULTS: Mapping[str, Any] = {
    "act_fn": "relu",
    "commit": 0.02,
    "conv_input_shape": 1,
    "conv_res_scale": False,
    "embed_dim": 64,
    "hop_fraction": [0.125, 0.5, 0.5],
    "levels": 3,
    "lmu": 0.99,
    "multipliers": [2, 1, 1],
    "nb_discrete_codes": 2048,
    "res_conv_depth": 4,
    "res_conv_width": 32,
    "res_convolution_multiplier": 1,
    "res_dilation_cycle": None,
    "res_dilation_growth_rate": 3,
    "res_downs_t": [3, 2, 2],
    "res_strides_t": [2, 2, 2],
}

_PRIOR_DEFAULTS: Mapping[str, Any] = {
    "act_fn": "quick_gelu",
    "alignment_head": 2,
    "alignment_layer": 68,
    "attention_multiplier": 0.25,
    "attention_pattern": "enc_dec_with_lyrics",
    "attn_res_scale": False,
    "blocks": 64,
    "conv_res_scale": None,
    "encoder_config": None,
    "encoder_loss_fraction": 0.4,
    "hidden_size": 2048,
    "init_scale": 0.2,
    "is_encoder_decoder": True,
    "lyric_vocab_size": 80,
    "merged_decoder": True,
    "metadata_dims": _V3_METADATA_DIMS,
    "mlp_multiplier": 1.0,
    "music_vocab_size": 2048,
    "n_ctx": 6144,
    "n_heads": 2,
    "nb_relevant_lyric_tokens": 384,
    "num_layers": 72,
    "res_conv_depth": 3,
    "res_conv_width": 128,
    "res_convolution_multiplier": 1,
    "res_dilation_cycle": None,
    "res_dilation_growth_rate": 1,
    "res_downs_t": [3, 2, 2],
    "res_strides_t": [2, 2, 2],
}

# Variants that no released model uses and this library does not compute.
_FIXED_VQVAE: Mapping[str, Any] = {
    "act_fn": "relu",
    "conv_input_shape": 1,
    "conv_res_scale": False,
    "levels": 3,
}
# Also of a separate lyric encoder, which is configured like a prior.
_FIXED_PRIOR: Mapping[str, Any] = {"act_fn": "quick_gelu"}


def config_from_huggingface(
    values: Mapping[str, Any], label_versions: tuple[LabelVersion, ...] | None = None
) -> JukeboxConfig:
    """Translate the content of a `config.json`.

    Its `mask` is ignored: it is false by default, which would let every position see the future,
    and the released weights were trained without (jukebox is causal in the original).

    Args:
        values: the parsed file.
        label_versions: of the priors, top first, as `tokenizer_config.json` has them; None guesses
            by the size of the label tables.

    Raises:
        ConfigError: the file asks for what this library does not compute, or contradicts itself.
    """
    model = {**_MODEL_DEFAULTS, **values}
    try:
        codec_values = {**_VQVAE_DEFAULTS, **(model.get("vqvae_config") or {})}
        codec = _codec(codec_values, model["sampling_rate"])
        top, middle, bottom = (
            _prior(level, prior, model, codec, label_versions, codec_values["hop_fraction"])
            for level, prior in zip(COARSE_TO_FINE, _prior_values(model), strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not a configuration of transformers 4: {error}") from error
    return JukeboxConfig(
        vqvae=codec, priors=(top, middle, bottom), name=str(model.get("_name_or_path") or "jukebox")
    )


def _prior_values(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Written as a list by newer releases, one by one by older ones and on the hub.
    listed = model.get("prior_config_list") or [model[f"prior_{i}"] for i in range(len(Level))]
    return [{**_PRIOR_DEFAULTS, **prior} for prior in listed]


def _refuse_variants(values: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    for name, wanted in fixed.items():
        if values[name] != wanted:
            raise ConfigError(f"{name} is {values[name]!r}: only {wanted!r} is supported")


def _codec(values: Mapping[str, Any], sample_rate_hz: int) -> JukeboxVQVAEConfig:
    _refuse_variants(values, _FIXED_VQVAE)
    return JukeboxVQVAEConfig(
        sample_rate_hz=sample_rate_hz,
        downs=tuple(values["res_downs_t"]),
        strides=tuple(values["res_strides_t"]),
        num_codes=values["nb_discrete_codes"],
        embedding_width=values["embed_dim"],
        width=values["res_conv_width"],
        depth=values["res_conv_depth"],
        width_multipliers=tuple(values["multipliers"] or (1, 1, 1)),
        conv_width_ratio=values["res_convolution_multiplier"],
        dilation_growth_rate=values["res_dilation_growth_rate"],
        dilation_cycle=values["res_dilation_cycle"],
        codebook_decay=values["lmu"],
        commit_weight=values["commit"],
    )


def _prior(
    level: Level,
    values: Mapping[str, Any],
    model: Mapping[str, Any],
    codec: JukeboxVQVAEConfig,
    label_versions: tuple[LabelVersion, ...] | None,
    hop_fractions: list[float],
) -> JukeboxPriorConfig:
    index = COARSE_TO_FINE.index(level)
    version = label_versions[index] if label_versions is not None else _guess_version(values)
    lyrics = _lyrics(values)
    merged = lyrics is not None and lyrics.encoder is None
    prefix_tokens = lyrics.num_tokens if lyrics is not None and merged else 0
    return JukeboxPriorConfig(
        level=level,
        context_tokens=values["n_ctx"],
        num_codes=values["music_vocab_size"],
        sample_rate_hz=model["sampling_rate"],
        samples_per_token=codec.samples_per_token[level],
        transformer=_transformer(values, values["n_ctx"] + prefix_tokens),
        labels=_labels(values, model, version) if model["metadata_conditioning"] else None,
        lyrics=lyrics,
        conditioner=_conditioner(values, index) if level.upper is not None else None,
        tied_embeddings=not values["merged_decoder"],
        default_hop_fraction=hop_fractions[index],
    )


def _transformer(values: Mapping[str, Any], context_tokens: int) -> TransformerConfig:
    _refuse_variants(values, _FIXED_PRIOR)
    pattern = values["attention_pattern"]
    if pattern not in _ATTN_ORDERS:
        raise ConfigError(
            f"attention_pattern {pattern!r} is not supported: the released models use "
            f"{', '.join(_ATTN_ORDERS)}"
        )
    return TransformerConfig(
        width=values["hidden_size"],
        layers=attention_layers(_ATTN_ORDERS[pattern], values["num_layers"]),
        num_heads=values["n_heads"],
        num_blocks=values["blocks"],
        context_tokens=context_tokens,
        init_scale=values["init_scale"],
        scale_residuals=bool(values["attn_res_scale"]),
        attention_width_ratio=values["attention_multiplier"],
        mlp_width_ratio=values["mlp_multiplier"],
    )


def _guess_version(values: Mapping[str, Any]) -> LabelVersion:
    return "v3" if list(values["metadata_dims"]) == _V3_METADATA_DIMS else "v2"


def _labels(
    values: Mapping[str, Any], model: Mapping[str, Any], version: LabelVersion
) -> LabelConfig:
    num_genres, num_artists = values["metadata_dims"]
    return LabelConfig(
        version=version,
        num_genres=num_genres,
        num_artists=num_artists,
        # A v3 genre is one name and never a bag of words, however many slots the file leaves.
        max_genres=1 if version == "v3" else model["max_nb_genres"],
        num_time_bins=model["timing_dims"],
        min_duration_sec=model["min_duration"],
        max_duration_sec=model["max_duration"],
    )


def _lyrics(values: Mapping[str, Any]) -> LyricConfig | None:
    num_tokens = values["nb_relevant_lyric_tokens"]
    if not num_tokens:
        return None
    encoder = None
    if not values["is_encoder_decoder"]:
        encoder = _transformer({**_PRIOR_DEFAULTS, **values["encoder_config"]}, num_tokens)
    # Layer 68 is the default there even for priors that have fewer layers.
    aligned = values["alignment_layer"] < values["num_layers"]
    return LyricConfig(
        num_tokens=num_tokens,
        num_characters=values["lyric_vocab_size"],
        loss_weight=values["encoder_loss_fraction"],
        encoder=encoder,
        alignment_layer=values["alignment_layer"] if aligned else None,
        alignment_head=values["alignment_head"] if aligned else None,
    )


def _conditioner(values: Mapping[str, Any], index: int) -> ConditionerConfig:
    depth = values["res_conv_depth"]
    return ConditionerConfig(
        width=values["res_conv_width"],
        depth=depth,
        dilation_growth_rate=values["res_dilation_growth_rate"],
        dilation_cycle=values["res_dilation_cycle"] or depth,
        scale_residuals=bool(values["conv_res_scale"]),
        down=values["res_downs_t"][index],
        stride=values["res_strides_t"][index],
        conv_width_ratio=values["res_convolution_multiplier"],
    )
