"""Keys and values of many sequences at once, in buffers that never grow.

Each layer keeps only what its attention kind can still read, as *strips*: runs of keys and values
that one decode step reads whole and contiguously.

    kind            strips per slot     positions per strip
    ROW             1                   one row, overwritten row by row
    COLUMN          one per column      one per row
    PREVIOUS_ROW    2 (row parity)      one row: the row being written, and the one before
    ALL             1                   the whole sequence
    LYRIC_PREFIX    1                   the prefix, and a last place where later positions are lost
    LYRIC_ENCODER   1                   the lyrics; written once

A slot is zeroed when a sequence is prefilled into it. Zeros matter twice: row 0 of PREVIOUS_ROW
layers must see zeros, and places that are masked must be finite, because 0 * NaN is NaN.

On a CPU a slot takes memory as its sequence fills it, and none when it is released.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from jukebox_core.config import AttentionKind, JukeboxPriorConfig, TransformerConfig
from jukebox_core.prior.zero_pages import ZeroPages

_NEVER = 2**62


class DecodeStep(NamedTuple):
    """Where the rows of one decode step read and write in every layer of one kind.

    read   int64 [B]           strip of each row
    write  int64 [B] | None    place in the flattened strips; None where nothing is written
    bias   [B, 1, 1, K] | None added to the scores: 0 or -inf, in the dtype of the computation
    """

    read: Tensor
    write: Tensor | None
    bias: Tensor | None


def strip_dtype(
    config: JukeboxPriorConfig, dtype: torch.dtype, device: torch.device, *, int8_weights: bool
) -> torch.dtype:
    """Precision of keys and values of a prior that computes in `dtype`.

    Large priors with int8 weights on a CPU keep them as float16: rounded so, they change the
    distribution of a token by a small part of what the int8 weights do (docs/explanation/log.md),
    and half of 0.8 GB a window. All others keep what they compute.
    """
    may_be_half = device.type == "cpu" and dtype == torch.float32
    is_half = may_be_half and int8_weights and config.transformer.is_large
    return torch.float16 if is_half else dtype


class PriorCache:
    """Static addresses for `num_slots` sequences of one prior; a slot holds one window.

    layers              per layer, [num_slots * strips per slot, positions per strip, 2 A]
    position_embedding  float32 [num_slots, context_tokens, C]   conditioning of the music

    Args:
        config: of the prior.
        num_slots: windows that it has room for.
        device: where they are.
        dtype: what the prior computes in.
        strips: what keys and values are kept in, see `strip_dtype`; by default `dtype`.
    """

    def __init__(
        self,
        config: JukeboxPriorConfig,
        num_slots: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        strips: torch.dtype | None = None,
    ) -> None:
        self.config = config
        self.num_slots = num_slots
        stack = config.transformer
        shapes = {kind: _strip_shape(kind, config) for kind in set(stack.layers)}
        slots = [
            ZeroPages(
                (num_slots, *shapes[kind], 2 * stack.attention_width),
                device=device,
                dtype=strips or dtype,
            )
            for kind in stack.layers
        ]
        self.layers: list[Tensor] = [pages.tensor.flatten(0, 1) for pages in slots]
        added = ZeroPages(
            (num_slots, config.context_tokens, stack.width), device=device, dtype=torch.float32
        )
        self.position_embedding = added.tensor
        self._pages = (*slots, added)
        self._planner = _StepPlanner(config, device, dtype)

    @property
    def num_bytes(self) -> int:
        """Memory of keys, values and conditioning when all slots are full."""
        return sum(buffer.nbytes for buffer in (*self.layers, self.position_embedding))

    def begin(self, slots: Tensor, position_embedding: Tensor) -> None:
        """Forget what `slots` (int64 [B]) held and take over new conditioning [B, T, C]."""
        for pages in self._pages[:-1]:
            pages.clear(slots)
        self.position_embedding.index_copy_(0, slots, position_embedding)

    def release(self, slots: Tensor) -> None:
        """Give back the memory of `slots` (int64 [B]), whose sequences have ended."""
        for pages in self._pages:
            pages.release(slots)

    def write_prefix(self, layer: int, key_value: Tensor, slots: Tensor) -> None:
        """Keep of key_value [B, T, 2 A] (positions 0 .. T - 1) what later positions will read."""
        stack = self.config.transformer
        kind = stack.layers[layer]
        strips = self._slots(layer)
        key_value = key_value.to(strips.dtype)
        num_tokens, block = key_value.shape[1], stack.block_tokens
        if kind is AttentionKind.COLUMN:
            padded = F.pad(key_value, (0, 0, 0, -num_tokens % block))
            columns = padded.view(len(padded), -1, block, padded.shape[-1]).transpose(1, 2)
            strips[slots, :, : columns.shape[2]] = columns
            return
        last_row = (num_tokens - 1) // block
        if kind is AttentionKind.PREVIOUS_ROW:
            for row in range(max(last_row - 1, 0), last_row + 1):
                kept = key_value[:, row * block : (row + 1) * block]
                strips[:, row % 2][slots, : kept.shape[1]] = kept
            return
        kept = key_value[:, last_row * block :] if kind is AttentionKind.ROW else key_value
        if kind is AttentionKind.LYRIC_PREFIX:
            kept = kept[:, : self.config.lyric_prefix_positions]
        strips[:, 0][slots, : kept.shape[1]] = kept

    def _slots(self, layer: int) -> Tensor:
        """[num_slots, strips per slot, positions per strip, 2 A]"""
        strips = self.layers[layer]
        return strips.view(self.num_slots, -1, *strips.shape[1:])

    def plan(self, positions: Tensor, slots: Tensor) -> Mapping[AttentionKind, DecodeStep]:
        """Reads and writes of one decode step.

        positions  int64 [B]   in the whole sequence, lyrics before merged music included
        slots      int64 [B]
        """
        return self._planner.plan(positions, slots)


def _strip_shape(kind: AttentionKind, config: JukeboxPriorConfig) -> tuple[int, int]:
    """Strips per slot, and positions per strip."""
    stack = config.transformer
    match kind:
        case AttentionKind.ROW:
            return 1, stack.block_tokens
        case AttentionKind.COLUMN:
            return stack.block_tokens, stack.num_blocks
        case AttentionKind.PREVIOUS_ROW:
            return 2, stack.block_tokens
        case AttentionKind.ALL:
            return 1, stack.context_tokens
        case AttentionKind.LYRIC_PREFIX:
            return 1, config.lyric_prefix_positions + 1
        case AttentionKind.LYRIC_ENCODER:
            return 1, config.lyrics.num_tokens if config.lyrics is not None else 0


def _hiding_later(num_places: int) -> Tensor:
    """float32 [num_places, num_places]: 0 where a place shows itself or an earlier one, or -inf."""
    return torch.full((num_places, num_places), -torch.inf, device="cpu").triu(1)


class _StepPlanner:
    """Turns positions and slots into indices with a few small operations, none of which syncs."""

    def __init__(
        self, config: JukeboxPriorConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._stack: TransformerConfig = config.transformer
        self._kinds: Sequence[AttentionKind] = sorted(set(config.transformer.layers))
        self._prefix_positions = config.lyric_prefix_positions
        block, rows = self._stack.block_tokens, self._stack.num_blocks
        # Made on the CPU: on the meta device this would import torch's compiler (0.8 s).
        self._row_bias = _hiding_later(block).to(device, dtype)
        self._column_bias = _hiding_later(rows).to(device, dtype)
        self._places = torch.arange(self._stack.context_tokens, device="cpu").to(device)
        prefix_places = torch.arange(self._prefix_positions + 1, device="cpu")
        # The place for what is not kept is never visible.
        prefix_places[-1] = _NEVER
        self._prefix_places = prefix_places.to(device)
        self._visible = torch.zeros((), device=device, dtype=dtype)
        self._hidden = torch.full((), -torch.inf, device=device, dtype=dtype)

    def plan(self, positions: Tensor, slots: Tensor) -> Mapping[AttentionKind, DecodeStep]:
        row = positions // self._stack.block_tokens
        column = positions - row * self._stack.block_tokens
        return {kind: self._step(kind, positions, slots, row, column) for kind in self._kinds}

    def _step(
        self, kind: AttentionKind, positions: Tensor, slots: Tensor, row: Tensor, column: Tensor
    ) -> DecodeStep:
        block, num_rows = self._stack.block_tokens, self._stack.num_blocks
        match kind:
            case AttentionKind.ROW:
                bias = self._row_bias.index_select(0, column)
                return DecodeStep(slots, slots * block + column, bias[:, None, None])
            case AttentionKind.COLUMN:
                strip = slots * block + column
                bias = self._column_bias.index_select(0, row)
                return DecodeStep(strip, strip * num_rows + row, bias[:, None, None])
            case AttentionKind.PREVIOUS_ROW:
                banks, parity = slots * 2, row & 1
                return DecodeStep(banks + 1 - parity, (banks + parity) * block + column, None)
            case AttentionKind.ALL:
                write = slots * self._stack.context_tokens + positions
                return DecodeStep(slots, write, self._bias(self._places, positions))
            case AttentionKind.LYRIC_PREFIX:
                place = positions.clamp(max=self._prefix_positions)
                write = slots * (self._prefix_positions + 1) + place
                return DecodeStep(slots, write, self._bias(self._prefix_places, positions))
            case AttentionKind.LYRIC_ENCODER:
                return DecodeStep(slots, None, None)

    def _bias(self, places: Tensor, positions: Tensor) -> Tensor:
        visible = places <= positions[:, None]
        return torch.where(visible, self._visible, self._hidden)[:, None, None]
