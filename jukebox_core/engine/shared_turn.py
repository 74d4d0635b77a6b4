"""One turn of all levels together, where backends compute them on the cores of the host."""

from collections.abc import Sequence as Collection
from dataclasses import dataclass

from jukebox_core.engine.model_runner import ModelRunner
from jukebox_core.engine.sequence import Sequence

_MIN_PART_ROWS = 2
"""A weight that is read once serves all rows of a part: two parts of a row are twice the work."""


@dataclass(frozen=True, slots=True)
class SharedTurn:
    """What one batch samples in a turn: `num_steps` tokens of each of its rows."""

    runner: ModelRunner
    batch: tuple[Sequence, ...]
    num_steps: int


def sample_together(turns: Collection[SharedTurn], *, num_threads: int) -> list[float]:
    """Sample all of them, those of one kind of backend in one call; the seconds that each took.

    A batch is cut into parts only as far as there would be cores without work.

    Raises:
        SamplingError: a backend has not agreed with the reference.
        MemoryError: there is not enough of it.
    """
    most_parts = -(-num_threads // len(turns))
    parts = [
        turn.runner.parts(
            turn.batch,
            turn.num_steps,
            min(most_parts, max(len(turn.batch) // _MIN_PART_ROWS, 1)),
        )
        for turn in turns
    ]
    kinds = [turn.runner.backend_of(turn.batch).kind for turn in turns]
    seconds = [0.0] * len(turns)
    for kind in dict.fromkeys(kinds):
        numbers = [number for number, other in enumerate(kinds) if other is kind]
        every = [part for number in numbers for part in parts[number]]
        took = iter(kind.run_parts(every, num_threads))
        for number in numbers:
            seconds[number] = max(next(took) for _ in parts[number])
    return seconds
