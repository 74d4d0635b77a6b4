"""How far the host may run ahead of the device: two turns, so that neither waits for the other.

Work is put in line without waiting for it. Without a bound a host that replays graphs would put a
whole window in line in a moment, and who cancels, joins or asks how far a song is would wait for
all of it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from jukebox_core.units import Level

MAX_TURNS = 2
"""The turn that the device works on, and the one that it finds in line when it is done."""


class Mark(Protocol):
    """A place in the line of work of a device."""

    def synchronize(self) -> None:
        """Wait until everything before it is done."""


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn that the device has done: `num_steps` tokens of each of its rows took `seconds`."""

    level: Level
    num_steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _TurnInLine:
    mark: Mark
    level: Level
    num_steps: int
    begun_sec: float


class RunAhead:
    """Waits, before a turn, for the end of the turn before the last, and tells what that one took.

    Args:
        mark: marks the end of what is in line now.
        max_turns: turns that may be in line at the same time.
        clock: seconds.
    """

    def __init__(
        self,
        mark: Callable[[], Mark],
        *,
        max_turns: int = MAX_TURNS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._mark, self._max_turns, self._clock = mark, max_turns, clock
        self._in_line: deque[_TurnInLine] = deque()
        self._last_end_sec = self._begun_sec = 0.0

    def wait(self) -> list[EndedTurn]:
        """Before a turn: until it would be one of `max_turns`; those that ended meanwhile."""
        ended = []
        while len(self._in_line) >= self._max_turns:
            turn = self._in_line.popleft()
            turn.mark.synchronize()
            now_sec = self._clock()
            # The device began it when the one before was done, or when it was put in line.
            seconds = now_sec - max(self._last_end_sec, turn.begun_sec)
            ended.append(EndedTurn(turn.level, turn.num_steps, seconds))
            self._last_end_sec = now_sec
        self._begun_sec = self._clock()
        return ended

    def turn_ended(self, level: Level, num_steps: int) -> None:
        """After a turn that drew `num_steps` tokens of each row: all its work is in line."""
        self._in_line.append(_TurnInLine(self._mark(), level, num_steps, self._begun_sec))


def run_ahead_of(device: torch.device) -> RunAhead | None:
    """For CUDA; None for devices on which a step is done when it returns, or that have no marks."""
    if device.type != "cuda":
        return None

    def mark() -> Mark:
        # Waited for asleep: a core that looks all the time is one less for other work.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        return event

    return RunAhead(mark)
