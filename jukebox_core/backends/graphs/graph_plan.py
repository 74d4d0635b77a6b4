"""Which captured steps serve a turn: how many rows are computed, and how many tokens at once.

Plain numbers, no torch: `step_graphs.py` captures and replays what is decided here.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_BUCKET = 128
"""The largest bucket but one: that of all slots. Beyond it a step is no longer nearly free."""
REPLAY_STEPS = (8, 1)
"""Tokens of one replay, the largest first. Lengths are known, so several need no look in between;
eight make the call of the host one part in eight, and are still a turn that others can wait for."""


class GraphWish(StrEnum):
    """What may be asked for; `auto` captures on CUDA where the weights stay on the device."""

    AUTO = "auto"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphKey:
    """What is fixed in a captured step; everything else is read from its buffers.

    `any_top_k` and `any_top_p` say whether some row filters: where none does, a sort is spared.
    """

    num_rows: int
    num_steps: int
    any_top_k: bool
    any_top_p: bool


def buckets(num_slots: int) -> tuple[int, ...]:
    """The sizes of step that are captured: powers of two up to 128, and all `num_slots`."""
    powers = [2**n for n in range(MAX_BUCKET.bit_length()) if 2**n < num_slots]
    return (*powers, num_slots)


def bucket_rows(num_rows: int, *, min_rows: int, num_slots: int) -> int:
    """How many rows are computed for `num_rows` that draw: the smallest bucket with room for them.

    `min_rows` are computed at least; with all `num_slots` there is one bucket, and no song can
    depend on its company. There are no more rows than slots, as each row needs one of its own.
    """
    wanted = min(max(num_rows, min_rows), num_slots)
    return next(size for size in buckets(num_slots) if size >= wanted)


def replay_steps(num_left: int) -> int:
    """Tokens of the next replay where `num_left` are to be drawn: as many as one can hold."""
    return next(size for size in REPLAY_STEPS if size <= num_left)
