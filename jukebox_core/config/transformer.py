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


MAX_SMALL_WIDTH = 1024
"""Up to this width a stack is small: cores share its rows and levels. Of a wider one they share
each product, which takes so long that waiting for each other after it costs nothing."""

ROW_KINDS = frozenset(AttentionKind) - {AttentionKind.ALL, AttentionKind.LYRIC_ENCODER}
"""The kinds that depend on how a sequence is cut into rows."""

_Cycle = tuple[AttentionKind, ...]
_FACTORED: _Cycle = (AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW)
_ENCODER: _Cycle = (AttentionKind.LYRIC_ENCODER,)
_PREFIX: _Cycle = (AttentionKind.LYRIC_PREFIX,)
_ALL: _Cycle = (AttentionKind.ALL,)


def _with_every_sixteenth(special: _Cycle) -> _Cycle:
    """48 factored layers, of which the last of every sixteen is one of three `special` kinds."""
    return tuple(
        special[layer % 3] if layer % 16 == 15 else _FACTORED[layer % 3] for layer in range(48)
    )


# Every order repeats from its first layer on, however deep the stack.
_CYCLE_BY_ATTN_ORDER: dict[int, _Cycle] = {
    0: _ALL,
    1: _FACTORED[:2],
    2: _FACTORED,
    6: _FACTORED + _ENCODER,
    7: _FACTORED * 5 + _ENCODER,
    8: _FACTORED * 3 + _ENCODER,
    9: _FACTORED + _ALL,
    10: _FACTORED * 3 + (_FACTORED * 3 + _ENCODER) * 7,
    11: _with_every_sixteenth(_ENCODER * 2 + _ALL),
    12: _with_every_sixteenth(_PREFIX * 2 + _ALL),
}


def attention_layers(attn_order: int, depth: int) -> tuple[AttentionKind, ...]:
    """The attention of every layer for one of the original's `attn_order` numbers.

    Raises:
        ConfigError: for 3, 4 and 5, which look at summaries of rows, and for other numbers.
    """
    if attn_order not in _CYCLE_BY_ATTN_ORDER:
        supported = ", ".join(map(str, _CYCLE_BY_ATTN_ORDER))
        raise ConfigError(f"{attn_order=} is not supported: it may be one of {supported}")
    cycle = _CYCLE_BY_ATTN_ORDER[attn_order]
    return tuple(cycle[layer % len(cycle)] for layer in range(depth))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """A stack of residual attention blocks over `context_tokens` positions.

    `init_scale` only matters for training from scratch. `scale_residuals` multiplies what each
    block adds by 1 / number of blocks; no released model does so.
    """

    width: int
    layers: tuple[AttentionKind, ...]
    num_heads: int
    num_blocks: int
    context_tokens: int
    init_scale: float = 1.0
    scale_residuals: bool = False
    attention_width_ratio: float = 0.25
    mlp_width_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.context_tokens % self.num_blocks:
            raise ConfigError(f"{self.context_tokens=} is not a multiple of {self.num_blocks=}")
        if self.attention_width < 1 or self.attention_width % self.num_heads:
            raise ConfigError(f"{self.attention_width=} is not a multiple of {self.num_heads=}")
        if self.mlp_width < 1:
            raise ConfigError(f"{self.mlp_width=} must be positive")
        object.__setattr__(self, "layers", tuple(AttentionKind(kind) for kind in self.layers))

    @property
    def num_layers(self) -> int:
        """Residual blocks in the stack."""
        return len(self.layers)

    @property
    def is_large(self) -> bool:
        """Whether the stack is wider than `MAX_SMALL_WIDTH`."""
        return self.width > MAX_SMALL_WIDTH

    @property
    def residual_scale(self) -> float:
        """What each block's output is multiplied by before it is added."""
        return 1.0 / self.num_layers if self.scale_residuals else 1.0

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
