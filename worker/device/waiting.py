"""Work for models that do not fit beside those in use now: it waits for them."""

from collections.abc import Callable, Collection, Set
from dataclasses import dataclass, field

from worker.device.works import Pending


@dataclass(frozen=True, slots=True)
class _Entry:
    pending: Pending
    begin: Callable[[], None]
    in_the_way: frozenset[str] = field(default=frozenset())
    """Models that were in use when it did not fit; none for what only keeps the order."""


class WaitingLine:
    """First come, first served.

    New windows of the models that are in the way line up behind whoever waits for these models, so
    that songs of two models that do not fit together take turns, a window each.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self, pending: Pending, begin: Callable[[], None], in_the_way: Collection[str] = ()
    ) -> None:
        """`begin` is called when it may go on, and adds it again if it may not."""
        self._entries.append(_Entry(pending, begin, frozenset(in_the_way)))

    def holds_back(self, model: str) -> bool:
        """Whether somebody waits for this model to leave."""
        return any(model in entry.in_the_way for entry in self._entries)

    def begin_due(self, in_use: Set[str]) -> None:
        """Begin what waits no more, now that only these models are in use."""
        entries, self._entries = self._entries, []
        for entry in entries:
            if entry.in_the_way and entry.in_the_way <= in_use:
                self._entries.append(entry)
            else:
                entry.begin()

    def drop(self, pending: Pending) -> None:
        """It is not wanted any more."""
        self._entries = [entry for entry in self._entries if entry.pending is not pending]

    def of_low_rank(self) -> list[Pending]:
        """What gives way to songs."""
        return [entry.pending for entry in self._entries if entry.pending.gives_way]
