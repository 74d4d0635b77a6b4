"""Who moves next: decided in plain Python, before any tensor is touched."""

from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence as Collection
from dataclasses import dataclass

from jukebox_core.engine.sequence import Sequence, SequenceStatus
from jukebox_core.engine.turn_order import TurnOrder
from jukebox_core.errors import SamplingError
from jukebox_core.units import COARSE_TO_FINE, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One step of one prior: at most one newcomer is prefilled, then all running rows draw."""

    level: Level
    admitted: Sequence | None


class _Rows:
    """The slots of one prior, who stands in line for them, and how many may step together."""

    def __init__(self, max_rows: int) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.num_slots = self.step_rows = max_rows
        self.free_slots = list(range(max_rows))[::-1]
        self.is_draining = False

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def num_sequences(self) -> int:
        return len(self.waiting) + len(self.running)

    def admit(self) -> Sequence | None:
        if self.is_draining and not self.running:
            self.free_slots = list(range(self.num_slots))[::-1]
            self.is_draining = False
        if self.is_draining or not self.waiting or not self.free_slots:
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
        if not self.running:
            # What lacked memory may have been a neighbor of this process; try all rows again.
            self.step_rows = self.num_slots

    def put_back(self, sequence: Sequence) -> None:
        self.remove(sequence)
        sequence.status = SequenceStatus.WAITING
        self.waiting.appendleft(sequence)

    def halve_slots(self) -> bool:
        if self.num_slots == 1:
            return False
        self.num_slots //= 2
        self.step_rows = min(self.step_rows, self.num_slots)
        self.is_draining = True
        return True


class Scheduler:
    """First come, first served, per prior; priors with work take turns (see `TurnOrder`).

    Nobody starves: every prior with work has a share of the turns, whatever the others have,
    a running sequence moves in every turn of its prior and needs at most `context_tokens` of them,
    so slots come free and the line moves on. One newcomer per turn, since a prefill costs as much
    as many steps and those who already sing would wait for it.

    Where memory is short, the slots of a prior are halved (`halve_slots`: those who run finish
    first, and nobody joins meanwhile), or the rows that it steps together (`limit_step_rows`).

    With `one_level_at_a_time`, which is for devices that hold one prior only, a level goes on until
    nobody of it runs, and nobody joins it while another level waits.
    """

    def __init__(
        self, max_rows: int | Mapping[Level, int], *, one_level_at_a_time: bool = False
    ) -> None:
        """`max_rows`: slots of every prior, or of each; those that are not named have one."""
        rows = max_rows if isinstance(max_rows, Mapping) else dict.fromkeys(Level, max_rows)
        if min(rows.values(), default=1) < 1:
            raise SamplingError(f"{max_rows=} must be at least 1")
        self.one_level_at_a_time = one_level_at_a_time
        self._rows = {level: _Rows(rows.get(level, 1)) for level in COARSE_TO_FINE}
        self._order = TurnOrder(COARSE_TO_FINE)

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
        if self.one_level_at_a_time:
            for level, rows in self._rows.items():
                if rows.running:
                    waited_for = any(o.waiting for o in self._rows.values() if o is not rows)
                    return Turn(level=level, admitted=None if waited_for else rows.admit())
        due = self._order.next({each: rows.num_sequences for each, rows in self._rows.items()})
        return None if due is None else Turn(level=due, admitted=self._rows[due].admit())

    def is_free_for(self, level: Level) -> bool:
        """Whether the prior of `level` may be brought to the device now."""
        others = (rows for other, rows in self._rows.items() if other is not level)
        return not self.one_level_at_a_time or not any(rows.running for rows in others)

    def running(self, level: Level) -> tuple[Sequence, ...]:
        """The sequences that hold a slot of `level` now, in order of arrival."""
        return tuple(self._rows[level].running)

    def put_back(self, sequence: Sequence) -> None:
        """Back to the head of its level's line: a newcomer that could not begin yet."""
        self._rows[sequence.level].put_back(sequence)

    def num_slots(self, level: Level) -> int:
        """How many sequences of `level` may run at the same time."""
        return self._rows[level].num_slots

    def halve_slots(self, level: Level) -> bool:
        """Half as many slots from the time on when none is held; False when there is only one."""
        return self._rows[level].halve_slots()

    def step_rows(self, level: Level) -> int:
        """How many rows of `level` may step together."""
        return self._rows[level].step_rows

    def limit_step_rows(self, level: Level, num_rows: int) -> None:
        """Step at most `num_rows` rows of `level` together, until none of them runs any more."""
        self._rows[level].step_rows = max(min(num_rows, self._rows[level].step_rows), 1)

    def num_steps(
        self, batch: Collection[Sequence], limit: int, *, waits_for_newcomers: bool = True
    ) -> int:
        """How many tokens each row of a batch draws in this turn: at least 1, at most `limit`.

        None of the rows ends before the last of them. If it waits for newcomers, only one while
        somebody can join in the next turn, so that those who arrive together go together.
        """
        rows = self._rows[batch[0].level]
        may_join = bool(rows.waiting and rows.free_slots and not rows.is_draining)
        if limit <= 1 or (waits_for_newcomers and may_join):
            return 1
        return max(min(limit, *(each.num_new - each.num_sampled for each in batch)), 1)

    def batches(self, sequences: Collection[Sequence]) -> list[tuple[Sequence, ...]]:
        """Running sequences of one level, cut into as many as may step together.

        Only those of the same backend do.
        """
        if not sequences:
            return []
        size, backend = self.step_rows(sequences[0].level), sequences[0].backend
        if len(sequences) <= size and all([each.backend == backend for each in sequences]):
            # Nearly always; asked for once for every token.
            return [tuple(sequences)]
        alike: dict[str | None, list[Sequence]] = {}
        for sequence in sequences:
            alike.setdefault(sequence.backend, []).append(sequence)
        return [
            tuple(rows[i : i + size]) for rows in alike.values() for i in range(0, len(rows), size)
        ]
