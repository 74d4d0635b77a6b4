"""Who moves next: decided in plain Python, before any tensor is touched."""

from collections import deque
from dataclasses import dataclass

from jukebox_core.engine.sequence import Sequence, SequenceStatus
from jukebox_core.errors import SamplingError
from jukebox_core.units import COARSE_TO_FINE, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One step of one prior: at most one newcomer is prefilled, then all running rows draw."""

    level: Level
    admitted: Sequence | None


class _Rows:
    """The slots of one prior, and who stands in line for them."""

    def __init__(self, max_rows: int) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.free_slots = list(range(max_rows))[::-1]

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def admit(self) -> Sequence | None:
        if not self.waiting or not self.free_slots:
            return None
        sequence = self.waiting.popleft()
        sequence.slot = self.free_slots.pop()
        sequence.status = SequenceStatus.RUNNING
        self.running.append(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        if sequence.status is SequenceStatus.WAITING:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
        if sequence.slot is not None:
            self.free_slots.append(sequence.slot)
            sequence.slot = None
        sequence.status = SequenceStatus.FINISHED


class Scheduler:
    """First come, first served, per prior; priors with work take turns.

    Nobody starves: a running sequence moves in every turn of its prior and needs at most
    `context_tokens` of them, so slots come free and the line moves on. One newcomer per turn, since
    a prefill costs as much as many steps and those who already sing would wait for it.
    """

    def __init__(self, max_rows: int) -> None:
        if max_rows < 1:
            raise SamplingError(f"{max_rows=} must be at least 1")
        self.max_rows = max_rows
        self._rows = {level: _Rows(max_rows) for level in COARSE_TO_FINE}
        self._order = deque(COARSE_TO_FINE)

    @property
    def has_work(self) -> bool:
        """Some sequence waits or runs."""
        return any(rows.has_work for rows in self._rows.values())

    def submit(self, sequence: Sequence) -> None:
        """Put a waiting sequence at the end of its level's line."""
        self._rows[sequence.level].waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence, waiting or running; its slot is free from now on."""
        self._rows[sequence.level].remove(sequence)

    def next_turn(self) -> Turn | None:
        """The next prior with work, and who joins it; None when there is nothing to do."""
        for _ in range(len(self._order)):
            level = self._order[0]
            self._order.rotate(-1)
            rows = self._rows[level]
            if rows.has_work:
                return Turn(level=level, admitted=rows.admit())
        return None

    def running(self, level: Level) -> tuple[Sequence, ...]:
        """The sequences that hold a slot of `level` now, in order of arrival."""
        return tuple(self._rows[level].running)
