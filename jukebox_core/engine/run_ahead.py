"""How far the host may run ahead of the device: two turns, so that neither waits for the other.

Work is put in line without waiting for it. Without a bound a host that replays graphs would put a
whole window in line in a moment, and who cancels, joins or asks how far a song is would wait for
all of it.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import torch

MAX_TURNS = 2
"""The turn that the device works on, and the one that it finds in line when it is done."""


class Mark(Protocol):
    """A place in the line of work of a device."""

    def synchronize(self) -> None:
        """Wait until everything before it is done."""


class RunAhead:
    """Waits, before a turn, for the end of the turn before the last.

    Args:
        mark: marks the end of what is in line now.
        max_turns: turns that may be in line at the same time.
    """

    def __init__(self, mark: Callable[[], Mark], *, max_turns: int = MAX_TURNS) -> None:
        self._mark, self._max_turns = mark, max_turns
        self._marks: deque[Mark] = deque()

    def wait(self) -> None:
        """Before a turn: until it would be one of `max_turns`."""
        while len(self._marks) >= self._max_turns:
            self._marks.popleft().synchronize()

    def turn_ended(self) -> None:
        """After a turn: all its work is in line."""
        self._marks.append(self._mark())


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
