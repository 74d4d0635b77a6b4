"""Which level of a device moves next: the more sequences one has, the more turns it gets."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from jukebox_core.units import Level

_LEAST_PART = 0.5
"""Of an equal share, before shares are made to add up."""


LevelT = TypeVar("LevelT", bound=Hashable)


def turn_shares(num_sequences: Mapping[LevelT, int]) -> dict[LevelT, float]:
    """Which share of all turns each level with work gets; together 1.

    A step takes nearly as long for one row as for many, so equal shares for levels with few rows
    would be paid for by those that most songs wait for. In proportion to the sequences, all levels
    of a steady stream of songs fill up their rows alike. No share is below three eighths of an
    equal one, so that a song that is alone at its level is not far slower than before.
    """
    busy = {level: number for level, number in num_sequences.items() if number}
    total = sum(busy.values())
    wanted = {level: max(number / total, _LEAST_PART / len(busy)) for level, number in busy.items()}
    return {level: share / sum(wanted.values()) for level, share in wanted.items()}


class TurnOrder:
    """Gives out turns by `turn_shares`, as evenly as they go (stride scheduling); no clock.

    Every level has a place on one line. The one farthest behind has the next turn, and moves on by
    the inverse of its share. One that had nothing to do begins where the others are: it has saved
    up no turns, and owes those that it was early for.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        """`levels`: of those that are equally far, the first of these has the turn."""
        self._places = dict.fromkeys(levels, 0.0)
        self._busy: set[Level] = set()

    def next(self, num_sequences: Mapping[Level, int]) -> Level | None:
        """The level that moves now, of those with sequences; None if there is none."""
        busy = [level for level in self._places if num_sequences[level]]
        stayed = [self._places[level] for level in busy if level in self._busy]
        if stayed:
            for level in busy:
                self._places[level] = max(self._places[level], min(stayed))
        self._busy = set(busy)
        if len(busy) < 2:
            return busy[0] if busy else None  # most often; asked for once for every token
        chosen = min(busy, key=self._places.__getitem__)
        self._places[chosen] += 1.0 / turn_shares(num_sequences)[chosen]
        return chosen
