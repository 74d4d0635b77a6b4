"""The least that one step of a prior can cost: the time to read what it must read."""

import time
from dataclasses import dataclass

import torch

from bench.machine import Clock, read_bytes_per_sec
from jukebox_core.config import AttentionKind, JukeboxPriorConfig, TransformerConfig
from jukebox_core.prior import JukeboxPrior

# Cached for a whole window, or not a part of decoding at all.
_NOT_PER_TOKEN = ("lyric_encoder", "conditioner", "labels", "lyric_key_value", "position_embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """Of one step for a batch, in the middle of a window."""

    weight_bytes: int
    key_value_bytes: int
    flop: int


def step_work(prior: JukeboxPrior, num_rows: int) -> StepWork:
    """Weights are read once for the batch, keys and values once for every row."""
    weights = {
        name: weight
        for name, weight in prior.named_parameters()
        if not any(part in name for part in _NOT_PER_TOKEN)
        # One row of it is looked up; where it is tied it is the logits' matrix, too.
        and (name != "token_embedding.weight" or prior.config.tied_embeddings)
    }
    config = prior.config
    stack = config.transformer
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
    stack: TransformerConfig = config.transformer
    block, rows = stack.block_tokens, stack.num_blocks
    match kind:
        case AttentionKind.ROW:
            return (block + 1) / 2
        case AttentionKind.COLUMN:
            return (rows + 1) / 2
        case AttentionKind.PREVIOUS_ROW:
            return block * (rows - 1) / rows
        case AttentionKind.ALL:
            return (stack.context_tokens + config.num_prefix_tokens) / 2
        case AttentionKind.LYRIC_PREFIX:
            return config.lyric_prefix_positions
        case AttentionKind.LYRIC_ENCODER:
            return config.lyrics.num_tokens if config.lyrics is not None else 0


def floor_sec(work: StepWork, device: torch.device, *, clock: Clock = time.perf_counter) -> float:
    """Seconds that reading takes, at the rate of a buffer as large as what a step reads.

    So large and no larger, because small models stay in a cache.
    """
    num_bytes = work.weight_bytes + work.key_value_bytes
    return num_bytes / read_bytes_per_sec(num_bytes, device, clock=clock)
