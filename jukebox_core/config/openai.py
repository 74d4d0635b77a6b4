"""The original's hyperparameters (`hparams.py`, or the `hps` of a checkpoint) in our words.

The original keeps those of all parts in one dictionary, so each part takes its own from it. None is
passed over: a name is read (`openai_values.py`), or changes nothing, or is refused
(`openai_names.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jukebox_core.config.openai_names import (
    PRIOR_FIXED,
    VQVAE_FIXED,
    refuse_unknown,
    refuse_variants,
)
from jukebox_core.config.openai_values import (
    PRIOR_NAMES,
    VQVAE_NAMES,
    ConditionerValues,
    EncoderValues,
    LabelValues,
    LyricValues,
    PriorValues,
    VQVAEValues,
)
from jukebox_core.config.prior import (
    ConditionerConfig,
    JukeboxPriorConfig,
    LabelConfig,
    LyricConfig,
)
from jukebox_core.config.transformer import (
    ROW_KINDS,
    AttentionKind,
    TransformerConfig,
    attention_layers,
)
from jukebox_core.config.vqvae import JukeboxVQVAEConfig
from jukebox_core.errors import ConfigError
from jukebox_core.units import Level

_DEFAULT_SAMPLE_RATE_HZ = 44_100
_A_DAY_SEC = 86_400.0


@contextmanager
def _about(*names: str) -> Iterator[None]:
    """Say in the original's names what contradicts what."""
    try:
        yield
    except ConfigError as error:
        if "hyperparameter" in str(error):
            raise
        raise ConfigError(f"hyperparameters {', '.join(map(repr, names))}: {error}") from error


def sample_rate_from_openai(parts: Sequence[Mapping[str, Any]], given_hz: int | None) -> int:
    """The sample rate of a model: `given_hz`, or the `sr` of its parts, or the original's default.

    Raises:
        ConfigError: they contradict each other.
    """
    stated = [hps["sr"] for hps in parts if hps.get("sr") is not None]
    stated = stated if given_hz is None else [*stated, given_hz]
    for sample_rate_hz in stated:
        if type(sample_rate_hz) is not int or sample_rate_hz < 1:
            raise ConfigError(
                f"hyperparameter 'sr' is {sample_rate_hz!r}: it should be a positive whole number"
            )
    if any(sample_rate_hz != stated[0] for sample_rate_hz in stated):
        raise ConfigError(
            f"hyperparameter 'sr': one model has one sample rate, and its parts have {stated}"
        )
    return stated[0] if stated else _DEFAULT_SAMPLE_RATE_HZ


@_about("downs_t", "strides_t", "hvqvae_multipliers", "width", "m_conv")
def vqvae_from_openai(hps: Mapping[str, Any], sample_rate_hz: int) -> JukeboxVQVAEConfig:
    """The codec that a dictionary of hyperparameters describes.

    Raises:
        ConfigError: a hyperparameter is missing, unknown, of a wrong type, or asks for what this
            library does not compute.
    """
    refuse_unknown(hps, VQVAE_NAMES | PRIOR_NAMES)
    refuse_variants(hps, VQVAE_FIXED)
    values = VQVAEValues.read(hps)
    return JukeboxVQVAEConfig(
        sample_rate_hz=sample_rate_hz,
        downs=values.downs_t,
        strides=values.strides_t,
        num_codes=values.l_bins,
        embedding_width=values.emb_width,
        width=values.width,
        depth=values.depth,
        width_multipliers=values.hvqvae_multipliers or (1, 1, 1),
        conv_width_ratio=values.m_conv,
        dilation_growth_rate=values.dilation_growth_rate,
        dilation_cycle=values.dilation_cycle,
        reverse_decoder_dilations=values.vqvae_reverse_decoder_dilation,
        codebook_decay=values.l_mu,
        commit_weight=values.commit,
        spectral_weight=values.spectral,
        multispectral_weight=values.multispectral,
    )


@_about("n_ctx", "attn_order", "use_tokens", "single_enc_dec")
def prior_from_openai(hps: Mapping[str, Any], codec: JukeboxVQVAEConfig) -> JukeboxPriorConfig:
    """The prior that a dictionary of hyperparameters describes. Raises as `vqvae_from_openai`."""
    refuse_unknown(hps, VQVAE_NAMES | PRIOR_NAMES)
    refuse_variants(hps, PRIOR_FIXED)
    values = PriorValues.read(hps)
    level = level_from_openai(hps)
    lyrics = _lyrics(hps, values)
    merged = lyrics is not None and lyrics.encoder is None
    prefix_tokens = lyrics.num_tokens if lyrics is not None and merged else 0
    return JukeboxPriorConfig(
        level=level,
        context_tokens=values.n_ctx,
        num_codes=codec.num_codes,
        sample_rate_hz=codec.sample_rate_hz,
        samples_per_token=codec.samples_per_token[level],
        transformer=_transformer(values, values.n_ctx + prefix_tokens),
        labels=_labels(hps, level, codec.sample_rate_hz) if values.labels else None,
        lyrics=lyrics,
        conditioner=_conditioner(hps, level, codec) if level.upper is not None else None,
        # The original forgets `merged_decoder` where lyrics and music are one sequence.
        tied_embeddings=values.single_enc_dec or not values.merged_decoder,
        half_weights=values.fp16_params,
        default_hop_fraction=0.125 if level is Level.TOP else 0.5,
    )


def level_from_openai(hps: Mapping[str, Any]) -> Level:
    """The level of a prior. Raises ConfigError if there is none, or no such level."""
    number = PriorValues.read(hps).level
    if number not in tuple(Level):
        raise ConfigError(f"hyperparameter 'level' is {number!r}: it may be 0, 1 or 2, the top")
    return Level(number)


@_about("n_ctx", "blocks", "prior_width", "heads", "m_attn", "m_mlp")
def _transformer(values: PriorValues, context_tokens: int) -> TransformerConfig:
    layers = _layers("attn_order", values.attn_order, values.prior_depth)
    return TransformerConfig(
        width=values.prior_width,
        layers=layers,
        num_heads=values.heads,
        num_blocks=_num_blocks("blocks", values.blocks, layers),
        context_tokens=context_tokens,
        init_scale=values.init_scale,
        scale_residuals=values.res_scale,
        attention_width_ratio=values.m_attn,
        mlp_width_ratio=values.m_mlp,
    )


def _layers(name: str, attn_order: int, depth: int) -> tuple[AttentionKind, ...]:
    try:
        return attention_layers(attn_order, depth)
    except ConfigError as error:
        raise ConfigError(f"hyperparameter {name!r}: {error}") from error


def _num_blocks(name: str, blocks: int | None, layers: tuple[AttentionKind, ...]) -> int:
    if blocks is not None:
        return blocks
    if ROW_KINDS.intersection(layers):
        raise ConfigError(f"hyperparameter {name!r} is None, and this attention is made of rows")
    return 1


@_about("max_bow_genre_size", "min_duration", "max_duration")
def _labels(hps: Mapping[str, Any], level: Level, sample_rate_hz: int) -> LabelConfig:
    values = LabelValues.read(hps)
    num_genres, num_artists = values.y_bins
    min_sec, max_sec = _durations(values, level, sample_rate_hz)
    return LabelConfig(
        version="v3" if values.labels_v3 else "v2",
        num_genres=num_genres,
        num_artists=num_artists,
        max_genres=values.max_bow_genre_size,
        num_time_bins=values.t_bins,
        min_duration_sec=min_sec,
        max_duration_sec=max_sec,
    )


def _durations(values: LabelValues, level: Level, sample_rate_hz: int) -> tuple[float, float]:
    """Shortest and longest song in seconds; only the top prior embeds them."""
    min_sec, max_sec = values.min_duration, values.max_duration
    if values.t_ranges is not None and min_sec is None and max_sec is None:
        (min_samples, max_samples), *others = values.t_ranges
        if others != [(0.0, max_samples), (0.0, 1.0)]:
            raise ConfigError(
                f"hyperparameter 't_ranges' is {values.t_ranges!r}: places in a song are supported "
                "from 0 to the longest song, and relative ones from 0 to 1"
            )
        return min_samples / sample_rate_hz, max_samples / sample_rate_hz
    if level is not Level.TOP:
        return min_sec or 0.0, max_sec or _A_DAY_SEC
    for name, duration in (("min_duration", min_sec), ("max_duration", max_sec)):
        if duration is None:
            raise ConfigError(
                f"hyperparameter {name!r} is missing: the top prior embeds how long a song is"
            )
    return min_sec or 0.0, max_sec or 0.0


@_about("n_tokens", "prime_attn_order")
def _lyrics(hps: Mapping[str, Any], values: PriorValues) -> LyricConfig | None:
    if values.single_enc_dec and not (values.labels and values.n_tokens):
        raise ConfigError(
            "hyperparameter 'single_enc_dec' is True: lyrics in one sequence with the music need "
            "'labels' and 'n_tokens'"
        )
    # A merged sequence begins with lyrics whatever `use_tokens` says.
    if not values.n_tokens or not (values.single_enc_dec or values.use_tokens):
        return None
    if not values.labels:
        raise ConfigError(
            "hyperparameter 'labels' is False: lyrics ('use_tokens') come with labels"
        )
    lyrics = LyricValues.read(hps)
    return LyricConfig(
        num_tokens=lyrics.n_tokens,
        num_characters=lyrics.n_vocab,
        loss_weight=lyrics.prime_loss_fraction,
        encoder=None if values.single_enc_dec else _encoder(EncoderValues.read(hps)),
        alignment_layer=lyrics.alignment_layer,
        alignment_head=lyrics.alignment_head,
    )


@_about("n_tokens", "prime_blocks", "prime_width", "prime_heads", "prime_m_attn", "prime_m_mlp")
def _encoder(values: EncoderValues) -> TransformerConfig:
    layers = _layers("prime_attn_order", values.prime_attn_order, values.prime_depth)
    return TransformerConfig(
        width=values.prime_width,
        layers=layers,
        num_heads=values.prime_heads,
        num_blocks=_num_blocks("prime_blocks", values.prime_blocks, layers),
        context_tokens=values.n_tokens,
        init_scale=values.prime_init_scale,
        scale_residuals=values.prime_res_scale,
        attention_width_ratio=values.prime_m_attn,
        mlp_width_ratio=values.prime_m_mlp,
    )


@_about("cond_width", "cond_m_conv", "cond_depth")
def _conditioner(
    hps: Mapping[str, Any], level: Level, codec: JukeboxVQVAEConfig
) -> ConditionerConfig:
    values = ConditionerValues.read(hps)
    upper = Level(level + 1)
    return ConditionerConfig(
        width=values.cond_width,
        depth=values.cond_depth,
        dilation_growth_rate=values.cond_dilation_growth_rate,
        dilation_cycle=values.cond_dilation_cycle or values.cond_depth,
        scale_residuals=values.cond_res_scale,
        down=codec.downs[upper],
        stride=codec.strides[upper],
        conv_width_ratio=values.cond_m_conv,
    )
