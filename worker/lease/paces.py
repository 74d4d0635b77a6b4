"""How long each kind of work of a song takes against its plan: as was seen, else as others do.

Tokens of one level and the beginnings of its windows each have a pace. Where little of them was
seen yet, that of the same kind at other levels counts, then that of all, then the plan.
"""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum

RECENT_SEC = 60.0
"""A pace is that of the last so many seconds of its work: other programs come and go."""
GUESS_SEC = 10.0
"""What is expected of a pace counts as at most so many seconds of measuring it: the first steps say
little, since weights are read from the disk meanwhile."""
GUESS_SHARE = 0.1
"""And as at most this part of the song, or a short one would be over before it is corrected."""
GUESS_FADES = 3.0
"""Once this many times as much was measured, what was expected counts as nothing."""
MIN_MEASURED_SEC = 1.0


class SampledKind(StrEnum):
    """What sampling consists of."""

    BEGINNINGS = "beginnings"  # of windows: their conditioning, and what they read
    TOKENS = "tokens"


Item = tuple[SampledKind, str]
"""One kind of work of one level, by the label of that."""


class _Pace:
    """Seconds and work of the last `RECENT_SEC` of something."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()
        self.seconds = 0.0
        self.work = 0.0

    def note(self, seconds: float, work: float) -> None:
        """So much was done in so many seconds."""
        self._seen.append((seconds, work))
        self.seconds += seconds
        self.work += work
        while len(self._seen) > 1 and self.seconds - self._seen[0][0] >= RECENT_SEC:
            oldest_sec, oldest_work = self._seen.popleft()
            self.seconds -= oldest_sec
            self.work -= oldest_work

    def after(self, expected: float, guess_sec: float) -> float:
        """Seconds of one unit of work, of which `expected` were expected.

        That counts as `guess_sec` of measuring at first, less and less.
        """
        counts_sec = max(guess_sec - self.seconds / GUESS_FADES, 0.0)
        if self.work <= 0.0 or self.seconds <= 0.0:
            return expected
        return (self.seconds + counts_sec) / (self.work + counts_sec / expected)


class Paces:
    """Seconds of one unit of work, for every item of one song.

    Args:
        total_work: of the song.
        guess: seconds of one unit by the plan; None if nobody knows.
    """

    def __init__(self, total_work: float, guess: float | None) -> None:
        self._total_work, self._guess = total_work, guess
        self._all = _Pace()
        self._kinds = {kind: _Pace() for kind in SampledKind}
        self._items: dict[Item, _Pace] = {}

    def note(self, seconds: float, works: Mapping[Item, float]) -> None:
        """In so many seconds all these works were done, each in its share by what is expected."""
        expected = {item: work * (self.of(item) or 1.0) for item, work in works.items()}
        for item, expected_sec in expected.items():
            spent_sec = seconds * expected_sec / sum(expected.values())
            pace = self._items.setdefault(item, _Pace())
            for each in (pace, self._kinds[item[0]], self._all):
                each.note(spent_sec, works[item])

    @property
    def overall(self) -> float | None:
        """Of all kinds of work together; None if nobody knows yet."""
        guess = self._guess
        if guess is None:
            if self._all.seconds < MIN_MEASURED_SEC or self._all.work <= 0.0:
                return None
            return self._all.seconds / self._all.work
        return self._all.after(guess, self._guess_sec(guess))

    def of(self, item: Item) -> float | None:
        """Of one item; None if nobody knows yet."""
        overall = self.overall
        if overall is None:
            return None
        guess_sec = self._guess_sec(overall)
        pace = self._kinds[item[0]].after(overall, guess_sec)
        if item in self._items:
            pace = self._items[item].after(pace, guess_sec)
        return pace

    def measured(self, item: Item) -> float | None:
        """Of one item, only by what was seen of it; None for too little."""
        seen = self._items.get(item)
        if seen is None or seen.seconds < MIN_MEASURED_SEC or seen.work <= 0.0:
            return None
        return seen.seconds / seen.work

    def _guess_sec(self, pace: float) -> float:
        return min(GUESS_SEC, GUESS_SHARE * self._total_work * pace)
