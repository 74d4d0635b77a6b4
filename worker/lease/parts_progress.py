"""What of a job besides its tokens is done, and how long tokens waited for it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from jobs.forecast import Part, PartKind

_UNENDED = 0.95
"""So much of a part counts at most before it has ended, however long it took."""


class Spending(Protocol):
    """Work on a part: seconds that it took so far, and of these the ones that tokens waited."""

    @property
    def spent_sec(self) -> float:
        """Seconds so far."""

    @property
    def held_up_sec(self) -> float:
        """Of these, those in which nothing was sampled for it."""


class Timed:
    """Seconds that somebody else counts, in which tokens waited."""

    def __init__(self) -> None:
        self.spent_sec = 0.0

    @property
    def held_up_sec(self) -> float:
        """All of them."""
        return self.spent_sec


class PartsProgress:
    """The parts of one job. Written by the threads of its task, read by its heartbeat.

    Work that no part was planned for is counted only as time that tokens waited.
    """

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self._parts: Mapping[tuple[str, str | None], Part] = {
            (each.kind, each.level): each for each in parts
        }
        self._works: Mapping[tuple[str, str | None], Sequence[Spending]] = {}
        self._ended: frozenset[tuple[str, str | None]] = frozenset()
        self.rendered = 0.0

    @property
    def total(self) -> float:
        """Work of all parts."""
        return sum(each.work for each in self._parts.values())

    @property
    def held_up_sec(self) -> float:
        """Seconds in which nothing was sampled for the parts."""
        return sum(each.held_up_sec for works in self._works.values() for each in works)

    def watch(self, kind: PartKind, level: str | None, work: Spending) -> None:
        """Something more of this part is worked on."""
        key = (kind, level)
        self._works = {**self._works, key: (*self._works.get(key, ()), work)}

    def end(self, kind: PartKind, level: str | None) -> None:
        """All of this part is there."""
        self._ended |= {(kind, level)}

    def end_level(self, level: str) -> None:
        """All parts of a level are there."""
        self._ended |= {key for key in self._parts if key[1] == level}

    def unended(self, kind: PartKind) -> list[str]:
        """The levels with such a part that has not ended, in order."""
        return [
            level
            for (each, level) in self._parts
            if each == kind and level is not None and (each, level) not in self._ended
        ]

    def measured(self, kind: PartKind, level: str | None) -> tuple[str, float] | None:
        """The name of a part and the seconds of one of its multiplications, where that was seen."""
        part, spent = self._parts.get((kind, level)), self._spent((kind, level))
        if part is None or not part.products or not spent:
            return None
        return part.name, spent / part.products

    def done(self, work_sec: float | None) -> float:
        """Work that is done, where one takes `work_sec`."""
        return sum(self._done(key, part, work_sec) for key, part in self._parts.items())

    def left(self, work_sec: float | None) -> float:
        """Work that is left."""
        return self.total - self.done(work_sec)

    def _done(self, key: tuple[str, str | None], part: Part, work_sec: float | None) -> float:
        if key in self._ended:
            return part.work
        if part.kind is PartKind.RENDERING:
            return self.rendered * part.work
        if not work_sec:
            return 0.0
        return min(self._spent(key) / work_sec, _UNENDED * part.work)

    def _spent(self, key: tuple[str, str | None]) -> float:
        return sum(each.spent_sec for each in self._works.get(key, ()))
