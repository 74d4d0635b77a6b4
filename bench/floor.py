"""What a step must read, and how long that takes on this machine: no step is faster."""

import time
from dataclasses import dataclass

import torch

from bench.machine import Clock, read_bytes_per_sec
from jukebox_core.config import AttentionKind, JukeboxPriorConfig
from jukebox_core.prior import JukeboxPrior

_HUGE_BYTES = 2**31
_NOT_PER_TOKEN = ("lyric_encoder", "conditioner", "labels", "lyric_key_value", "position_embedding")
"""Weights that are used once for a window, or of which one row is looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """Of one step for a batch, in the middle of a window: read at least, and computed."""

    weight_bytes: int
    key_value_bytes: int
    flop: int

    @property
    def read_bytes(self) -> int:
        """All that is read."""
        return self.weight_bytes + self.key_value_bytes


def step_work(prior: JukeboxPrior, num_rows: int) -> StepWork:
    """Weights are read once for the batch, keys and values once for every row."""
    config, stack = prior.config, prior.config.transformer
    weights = {
        name: weight
        for name, weight in prior.named_parameters()
        if not any(part in name for part in _NOT_PER_TOKEN)
        # Where it is tied it is the matrix of the logits, too.
        and (name != "token_embedding.weight" or config.tied_embeddings)
    }
    positions = sum(positions_read(kind, config) for kind in stack.layers)
    item_bytes = prior.compute_dtype.itemsize
    num_weights = sum(w.numel() for name, w in weights.items() if not name.endswith(".scale"))
    return StepWork(
        weight_bytes=sum(weight.nbytes for weight in weights.values()),
        key_value_bytes=int(num_rows * positions * 2 * stack.attention_width * item_bytes),
        flop=int(num_rows * (2 * num_weights + 4 * positions * stack.attention_width)),
    )


def positions_read(kind: AttentionKind, config: JukeboxPriorConfig) -> float:
    """Keys that a query must see, in the mean over a window."""
    stack = config.transformer
    return {
        AttentionKind.ROW: (stack.block_tokens + 1) / 2,
        AttentionKind.COLUMN: (stack.num_blocks + 1) / 2,
        AttentionKind.PREVIOUS_ROW: stack.block_tokens * (stack.num_blocks - 1) / stack.num_blocks,
        AttentionKind.ALL: (stack.context_tokens + config.num_prefix_tokens) / 2,
        AttentionKind.LYRIC_PREFIX: config.lyric_prefix_positions,
        AttentionKind.LYRIC_ENCODER: config.lyrics.num_tokens if config.lyrics is not None else 0,
    }[kind]


def floor_sec(work: StepWork, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Seconds that reading takes, at the rate of a buffer as large as what a step reads.

    So large because small models stay in a cache, up to a size that none has.
    """
    return work.read_bytes / read_bytes_per_sec(min(work.read_bytes, _HUGE_BYTES), device, clock)
