"""One prior, and what it is conditioned on."""

from dataclasses import dataclass
from typing import Literal

from jukebox_core.config.transformer import AttentionKind, TransformerConfig
from jukebox_core.errors import ConfigError
from jukebox_core.units import Level

LabelVersion = Literal["v2", "v3"]

_LYRIC_KINDS = frozenset({AttentionKind.LYRIC_ENCODER, AttentionKind.LYRIC_PREFIX})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What a prior is told about a song, and which vocabulary it was trained with.

    `total_length`, position and relative position are embedded only by a prior without a level
    above it. `min_duration_sec` and `max_duration_sec` bound the length of the whole song.

    `exact_positions`, ours: a song that ends within a window is told where. The original, and
    False, stretch the relative position so that 1 is the end of the window, and not of the song.
    """

    version: LabelVersion
    num_genres: int
    num_artists: int
    max_genres: int
    num_time_bins: int
    min_duration_sec: float
    max_duration_sec: float
    exact_positions: bool = False

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

    def __post_init__(self) -> None:
        if self.dilation_cycle < 1:
            raise ConfigError(f"{self.dilation_cycle=} must be positive")
        if int(self.conv_width_ratio * self.width) < 1:
            raise ConfigError(f"{self.conv_width_ratio=} leaves the convolutions without channels")

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
        if self.encoder is not None and _LYRIC_KINDS.intersection(self.encoder.layers):
            raise ConfigError("a lyric encoder reads itself alone: it has no layers over lyrics")


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
        if AttentionKind.LYRIC_PREFIX in self.transformer.layers and not self.merged_vocabulary:
            raise ConfigError("lyric prefix layers need lyrics in one sequence with the music")

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
