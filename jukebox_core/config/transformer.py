"""Attention patterns and the stacks that are made of them."""

from dataclasses import dataclass
from enum import StrEnum

from jukebox_core.errors import ConfigError


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
