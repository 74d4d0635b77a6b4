"""Configurations: frozen, complete, checked when made.

Lists over priors run in sampling order (index 0 = top), lists of the VQ-VAE in the paper's order
(index 0 = bottom), as in the Hugging Face documentation. The hyperparameters behind
`JukeboxConfig.from_openai` are those of `hparams.py` of the original.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

from jukebox_core.errors import ConfigError
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

LabelVersion = Literal["v2", "v3"]


class AttentionKind(StrEnum):
    """Which keys a query may see. Sequences are cut into `num_blocks` rows of equal length.

    The number in brackets is `attn_func` of the original's `factored_attention.py`.
    """

    ALL = "all"  # (0) every earlier position
    ROW = "row"  # (1) earlier positions of its own row
    COLUMN = "column"  # (2) the same place in every earlier row, and itself
    PREVIOUS_ROW = "previous_row"  # (3) the whole row before; row 0 sees one block of zeros
    LYRIC_ENCODER = "lyric_encoder"  # (6) the states of the separate lyric encoder
    LYRIC_PREFIX = "lyric_prefix"  # (7) the first positions of the same sequence


_FACTORED = (AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW)
_MERGED_LYRICS = (AttentionKind.LYRIC_PREFIX, AttentionKind.LYRIC_PREFIX, AttentionKind.ALL)


def _factored_layer(layer: int) -> AttentionKind:
    return _FACTORED[layer % 3]


def _separate_lyrics_layer(layer: int) -> AttentionKind:
    if layer % 10 == 8 and layer > 8:
        return AttentionKind.LYRIC_ENCODER
    # Nine layers, then seven times nine layers and a cross layer; the cycle starts anew each time.
    return _FACTORED[(layer if layer < 9 else (layer - 9) % 10) % 3]


def _merged_lyrics_layer(layer: int) -> AttentionKind:
    return _MERGED_LYRICS[layer % 3] if layer % 16 == 15 else _FACTORED[layer % 3]


_LAYER_BY_ATTN_ORDER = {2: _factored_layer, 10: _separate_lyrics_layer, 12: _merged_lyrics_layer}


def attention_layers(attn_order: int, depth: int) -> tuple[AttentionKind, ...]:
    """The attention of every layer for one of the original's `attn_order` numbers (2, 10 or 12).

    Raises:
        ConfigError: for the orders that no released model uses.
    """
    if attn_order not in _LAYER_BY_ATTN_ORDER:
        raise ConfigError(f"{attn_order=} is not supported: the released models use 2, 10 and 12")
    return tuple(_LAYER_BY_ATTN_ORDER[attn_order](layer) for layer in range(depth))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """A stack of residual attention blocks over `context_tokens` positions.

    `init_scale` only matters for training from scratch.
    """

    width: int
    layers: tuple[AttentionKind, ...]
    num_heads: int
    num_blocks: int
    context_tokens: int
    init_scale: float = 1.0
    attention_width_ratio: float = 0.25
    mlp_width_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.context_tokens % self.num_blocks:
            raise ConfigError(f"{self.context_tokens=} is not a multiple of {self.num_blocks=}")
        if self.attention_width % self.num_heads:
            raise ConfigError(f"{self.attention_width=} is not a multiple of {self.num_heads=}")
        object.__setattr__(self, "layers", tuple(AttentionKind(kind) for kind in self.layers))

    @property
    def num_layers(self) -> int:
        """Residual blocks in the stack."""
        return len(self.layers)

    @property
    def block_tokens(self) -> int:
        """Positions in one row of the factored attention."""
        return self.context_tokens // self.num_blocks

    @property
    def attention_width(self) -> int:
        """Width of queries, keys and values, all heads together."""
        return int(self.attention_width_ratio * self.width)

    @property
    def mlp_width(self) -> int:
        """Hidden width of the feed-forward part."""
        return int(self.mlp_width_ratio * self.width)

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.attention_width // self.num_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxVQVAEConfig:
    """Three separate encoders and decoders, each over the raw audio; level l has l + 1 blocks.

    `downs[l]` convolutions of stride `strides[l]` are added by level l, so that level l takes
    `prod(strides[i] ** downs[i] for i <= l)` samples per token.
    """

    sample_rate_hz: int = 44_100
    downs: tuple[int, int, int] = (3, 2, 2)
    strides: tuple[int, int, int] = (2, 2, 2)
    num_codes: int = 2048
    embedding_width: int = 64
    width: int = 32
    depth: int = 4
    width_multipliers: tuple[int, int, int] = (2, 1, 1)
    conv_width_ratio: float = 1.0
    dilation_growth_rate: int = 3
    codebook_decay: float = 0.99
    commit_weight: float = 0.02
    spectral_weight: float = 0.0
    multispectral_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("downs", "strides", "width_multipliers"):
            values = tuple(getattr(self, name))
            if len(values) != len(Level):
                raise ConfigError(f"{name} needs three numbers, bottom first, and has {values}")
            object.__setattr__(self, name, values)
        if any(stride % 2 for stride in self.strides):
            raise ConfigError(f"{self.strides=}: kernels of twice the stride need even strides")

    @property
    def samples_per_token(self) -> tuple[int, int, int]:
        """Hop of each level, bottom first, e.g. (8, 32, 128)."""
        hops, hop = [], 1
        for down, stride in zip(self.downs, self.strides, strict=True):
            hop *= stride**down
            hops.append(hop)
        return (hops[0], hops[1], hops[2])

    @property
    def time_base(self) -> TimeBase:
        """Conversions between seconds, samples and tokens."""
        return TimeBase(
            sample_rate_hz=self.sample_rate_hz, samples_per_token=self.samples_per_token
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What a prior is told about a song, and which vocabulary it was trained with.

    `total_length`, position and relative position are embedded only by a prior without a level
    above it. `min_duration_sec` and `max_duration_sec` bound the length of the whole song.
    """

    version: LabelVersion
    num_genres: int
    num_artists: int
    max_genres: int
    num_time_bins: int
    min_duration_sec: float
    max_duration_sec: float

    def __post_init__(self) -> None:
        if not 0 <= self.min_duration_sec < self.max_duration_sec:
            raise ConfigError(f"{self.min_duration_sec=} must be below {self.max_duration_sec=}")
        if self.max_genres < 1:
            raise ConfigError(f"{self.max_genres=} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionerConfig:
    """Dilated convolutions that turn codes of the level above into one vector per token.

    `down` transposed convolutions of stride `stride` bring them to this level's rate.
    `scale_residuals` multiplies each residual branch by 1 / sqrt(depth).
    """

    width: int
    depth: int
    dilation_growth_rate: int
    dilation_cycle: int
    scale_residuals: bool
    down: int
    stride: int
    conv_width_ratio: float = 1.0

    @property
    def upsampling(self) -> int:
        """Tokens of this level under one code of the level above."""
        return int(self.stride**self.down)


@dataclass(frozen=True, slots=True, kw_only=True)
class LyricConfig:
    """How a prior reads lyrics: `num_tokens` characters around the present place in the song.

    With `encoder` the lyrics have a causal transformer of their own (5b_lyrics); without it they
    stand before the music in one sequence with a merged vocabulary (1b_lyrics).
    `num_characters` counts id 0, which is padding and every unknown character.
    """

    num_tokens: int
    num_characters: int
    loss_weight: float
    encoder: TransformerConfig | None = None
    alignment_layer: int | None = None
    alignment_head: int | None = None

    def __post_init__(self) -> None:
        if self.num_tokens < 2 or self.num_tokens % 2:
            raise ConfigError(f"{self.num_tokens=} must be even and positive")
        if self.encoder is not None and self.encoder.context_tokens != self.num_tokens:
            raise ConfigError(
                f"the lyric encoder reads {self.encoder.context_tokens} tokens, not "
                f"{self.num_tokens}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxPriorConfig:
    """One prior: an autoregressive model of the codes of one level.

    `transformer.context_tokens` counts lyrics and music in a merged sequence; `context_tokens` is
    the music alone. `tied_embeddings` shares input and output embedding and adds the conditioning
    once more after the stack; the 5B priors (`merged_decoder` of the original) do neither.
    """

    level: Level
    context_tokens: int
    num_codes: int
    sample_rate_hz: int
    samples_per_token: int
    transformer: TransformerConfig
    labels: LabelConfig | None = None
    lyrics: LyricConfig | None = None
    conditioner: ConditionerConfig | None = None
    tied_embeddings: bool = True
    half_weights: bool = False
    default_hop_fraction: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", Level(self.level))
        if self.transformer.context_tokens != self.context_tokens + self.num_prefix_tokens:
            raise ConfigError(
                f"the transformer has {self.transformer.context_tokens} positions, but lyrics "
                f"({self.num_prefix_tokens}) and music ({self.context_tokens}) need their sum"
            )
        if self.conditioner is not None and self.context_tokens % self.conditioner.upsampling:
            raise ConfigError(
                f"{self.context_tokens=} is not a multiple of {self.conditioner.upsampling=}"
            )
        if (self.conditioner is None) != (self.level is Level.TOP):
            raise ConfigError("the middle and bottom priors need a conditioner, the top has none")
        needs_encoder = AttentionKind.LYRIC_ENCODER in self.transformer.layers
        if needs_encoder != self.has_lyric_encoder:
            raise ConfigError("lyric encoder layers and a lyric encoder come together")

    @property
    def merged_vocabulary(self) -> bool:
        """Lyrics and music are one sequence; music ids are shifted by `num_characters`."""
        return self.lyrics is not None and self.lyrics.encoder is None

    @property
    def has_lyric_encoder(self) -> bool:
        """Lyrics are read by a transformer of their own."""
        return self.lyrics is not None and self.lyrics.encoder is not None

    @property
    def num_prefix_tokens(self) -> int:
        """Lyric tokens that stand before the music in the sequence; 0 unless merged."""
        return self.lyrics.num_tokens if self.lyrics is not None and self.merged_vocabulary else 0

    @property
    def music_offset(self) -> int:
        """Id of music code 0 in the vocabulary of the sequence; 0 unless merged."""
        if self.lyrics is not None and self.merged_vocabulary:
            return self.lyrics.num_characters
        return 0

    @property
    def vocabulary_size(self) -> int:
        """Ids that the sequence can hold: codes, preceded by characters if merged."""
        return self.music_offset + self.num_codes

    @property
    def upper_context_tokens(self) -> int:
        """Codes of the level above that one window needs; 0 at the top."""
        if self.conditioner is None:
            return 0
        return self.context_tokens // self.conditioner.upsampling

    @property
    def context_samples(self) -> int:
        """Audio samples under one full window."""
        return self.context_tokens * self.samples_per_token

    @property
    def lyric_prefix_positions(self) -> int:
        """Positions that LYRIC_PREFIX layers may see.

        The original rounds the lyrics up past the next multiple of the number of rows
        (`factored_attention.py`), so these layers also see the first music tokens: 448 = 384 + 64.
        """
        num_blocks = self.transformer.num_blocks
        return (self.num_prefix_tokens // num_blocks + 1) * num_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class JukeboxConfig:
    """A whole model: the VQ-VAE and its three priors, top first.

    `name` is what a client asks for; `description` is shown to people; `licence` names the terms
    of the weights.
    """

    vqvae: JukeboxVQVAEConfig
    priors: tuple[JukeboxPriorConfig, JukeboxPriorConfig, JukeboxPriorConfig]
    name: str = "jukebox"
    description: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if tuple(prior.level for prior in self.priors) != COARSE_TO_FINE:
            raise ConfigError("priors must be given as top, middle, bottom")
        for prior in self.priors:
            self._check_prior(prior)

    def _check_prior(self, prior: JukeboxPriorConfig) -> None:
        expected = (
            self.vqvae.sample_rate_hz,
            self.vqvae.samples_per_token[prior.level],
            self.vqvae.num_codes,
        )
        found = (prior.sample_rate_hz, prior.samples_per_token, prior.num_codes)
        if found != expected:
            raise ConfigError(
                f"the {prior.level.label} prior has (sample rate, samples per token, codes) = "
                f"{found}, but the VQ-VAE has {expected}"
            )
        ratio = self.time_base.tokens_per_upper_token(prior.level)
        if prior.conditioner is not None and prior.conditioner.upsampling != ratio:
            raise ConfigError(
                f"the {prior.level.label} conditioner upsamples by {prior.conditioner.upsampling}, "
                f"but the VQ-VAE needs {ratio}"
            )

    @property
    def time_base(self) -> TimeBase:
        """Conversions between seconds, samples and tokens."""
        return self.vqvae.time_base

    def prior(self, level: Level) -> JukeboxPriorConfig:
        """The prior of `level`."""
        return self.priors[COARSE_TO_FINE.index(level)]

    @classmethod
    def from_openai(
        cls,
        vqvae: Mapping[str, Any],
        priors: Sequence[Mapping[str, Any]],
        *,
        name: str = "jukebox",
        sample_rate_hz: int = 44_100,
    ) -> "JukeboxConfig":
        """Read the original's hyperparameters (names of its `hparams.py`, or a checkpoint's `hps`).

        `priors` holds the three priors in any order; each names its own `level` (2 is the top).

        Raises:
            ConfigError: a key is missing, or the parts do not fit each other.
        """
        try:
            return _config_from_openai(vqvae, priors, name, sample_rate_hz)
        except KeyError as error:
            raise ConfigError(f"hyperparameter {error.args[0]!r} is missing") from error

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary from which `from_dict` makes an equal configuration."""
        values = asdict(self)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "JukeboxConfig":
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown, missing or contradicts another.
        """
        try:
            return _config_from_dict(values)
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(f"not a Jukebox configuration: {error}") from error


def _config_from_openai(
    vqvae: Mapping[str, Any], priors: Sequence[Mapping[str, Any]], name: str, sample_rate_hz: int
) -> JukeboxConfig:
    codec = JukeboxVQVAEConfig(
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
    by_level = {Level(hps["level"]): _prior_from_openai(hps, codec) for hps in priors}
    if set(by_level) != set(Level) or len(priors) != len(Level):
        found = sorted(hps["level"] for hps in priors)
        raise ConfigError(f"one prior for each of the levels 2, 1 and 0 is needed, found {found}")
    top, middle, bottom = (by_level[level] for level in COARSE_TO_FINE)
    return JukeboxConfig(vqvae=codec, priors=(top, middle, bottom), name=name)


def _prior_from_openai(hps: Mapping[str, Any], codec: JukeboxVQVAEConfig) -> JukeboxPriorConfig:
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


def _config_from_dict(values: Mapping[str, Any]) -> JukeboxConfig:
    fields = dict(values)
    vqvae = JukeboxVQVAEConfig(**fields.pop("vqvae"))
    top, middle, bottom = (_prior_from_dict(prior) for prior in fields.pop("priors"))
    return JukeboxConfig(vqvae=vqvae, priors=(top, middle, bottom), **fields)


def _prior_from_dict(values: Mapping[str, Any]) -> JukeboxPriorConfig:
    fields = dict(values)
    fields["transformer"] = TransformerConfig(**fields["transformer"])
    if fields.get("labels") is not None:
        fields["labels"] = LabelConfig(**fields["labels"])
    if fields.get("lyrics") is not None:
        lyrics = dict(fields["lyrics"])
        if lyrics.get("encoder") is not None:
            lyrics["encoder"] = TransformerConfig(**lyrics["encoder"])
        fields["lyrics"] = LyricConfig(**lyrics)
    if fields.get("conditioner") is not None:
        fields["conditioner"] = ConditionerConfig(**fields["conditioner"])
    return JukeboxPriorConfig(**fields)
