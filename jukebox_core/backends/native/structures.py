"""The structures of `native_step.h` and `tokens.c`, as ctypes."""

import ctypes

from jukebox_core.config import AttentionKind
from jukebox_core.song import SamplingParams

KINDS = (
    AttentionKind.ALL,
    AttentionKind.ROW,
    AttentionKind.COLUMN,
    AttentionKind.PREVIOUS_ROW,
    AttentionKind.LYRIC_ENCODER,
    AttentionKind.LYRIC_PREFIX,
)
"""In the order of `enum kind`."""
NUM_LAYER_POINTERS = 1 + 2 * 2 + 4 * 3
"""Strips; weight and bias of two norms; weight, bias and scale of four projections."""


class Layer(ctypes.Structure):
    """`struct layer`."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("strip_positions", ctypes.c_int64),
        ("has_halves", ctypes.c_int64),
        ("pointers", ctypes.c_void_p * NUM_LAYER_POINTERS),
    )


class Prior(ctypes.Structure):
    """`struct prior`, with its `struct stack` in front."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_layers", "width", "attention_width")),
        *((name, ctypes.c_int64) for name in ("mlp_width", "num_heads", "block_tokens")),
        *((name, ctypes.c_int64) for name in ("prefix_positions", "largest_strip")),
        ("layers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("vocabulary", "context_tokens")),
        *((name, ctypes.c_int64) for name in ("prefix_tokens", "is_tied", "is_large")),
        *((name, ctypes.c_void_p) for name in ("token_embedding", "position_embedding")),
        *((name, ctypes.c_void_p) for name in ("logits", "conditioning")),
    )


class NativeRow(ctypes.Structure):
    """`struct row`: a slot, the music position of its next token, and how it is drawn."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("slot", "position", "top_k")),
        *((name, ctypes.c_double) for name in ("temperature", "top_p")),
    )
    slot: int
    position: int

    @classmethod
    def of(cls, slot: int, position: int, params: SamplingParams) -> "NativeRow":
        """The row in `slot` that draws music token `position` next."""
        return cls(slot, position, params.top_k, params.temperature, params.top_p)


class Group(ctypes.Structure):
    """`struct group`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("prior", "rows")),
        *((name, ctypes.c_int64) for name in ("num_rows", "num_steps")),
        *((name, ctypes.c_void_p) for name in ("ids", "uniforms")),
        ("seconds", ctypes.c_double),
    )
    seconds: float
