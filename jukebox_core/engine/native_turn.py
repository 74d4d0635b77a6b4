"""One turn of all levels together, where their tokens are drawn in C on the cores of a CPU."""

from collections.abc import Sequence as Collection
from dataclasses import dataclass

from jukebox_core.engine.model_runner import ModelRunner
from jukebox_core.engine.sequence import Sequence
from jukebox_core.prior.native_step import draw_tokens

_MIN_PART_ROWS = 2
"""A weight that is read once serves all rows of a part: two parts of a row are twice the work."""


@dataclass(frozen=True, slots=True)
class NativeTurn:
    """What one batch draws in a turn: `num_steps` tokens of each of its rows."""

    runner: ModelRunner
    batch: tuple[Sequence, ...]
    num_steps: int


def draw_together(turns: Collection[NativeTurn], *, num_threads: int) -> list[float]:
    """Draw all of them in one call; returns the seconds that each took.

    A batch is cut into parts only as far as there would be cores without work.

    Raises:
        ConfigError: a prior cannot be computed in C.
        MemoryError: then nothing is drawn.
    """
    most_parts = -(-num_threads // len(turns))
    groups = [
        turn.runner.native_groups(
            turn.batch,
            turn.num_steps,
            num_parts=min(most_parts, max(len(turn.batch) // _MIN_PART_ROWS, 1)),
        )
        for turn in turns
    ]
    every = [group for parts in groups for group in parts]
    seconds = iter(draw_tokens(every, num_threads=num_threads))
    return [max(next(seconds) for _ in parts) for parts in groups]
