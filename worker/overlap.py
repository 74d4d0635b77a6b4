"""Which levels of a song are drawn at the same time: decided from plain facts, no tensors."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jukebox_core.config import JukeboxConfig
from jukebox_core.sampling.windows import Window
from jukebox_core.units import COARSE_TO_FINE, Level


class OverlapWish(StrEnum):
    """`JUKEBOX_OVERLAP`.

    AUTO  levels below the one that is due are drawn where the device would be idle otherwise
    ON    always as soon as the codes above them exist, if need be in turns with what is due
    OFF   a level begins when the one above is done, its sound and its files included
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelState:
    """Where a level of a song stands.

    is_done   all its windows are drawn
    is_busy   some of them are being drawn now
    can_begin another one could be begun: what lies before and above it is there
    """

    level: Level
    is_done: bool
    is_busy: bool
    can_begin: bool


def levels_to_begin(states: Sequence[LevelState], num_lanes: int) -> tuple[Level, ...]:
    """Of which levels the next windows should be begun now.

    The coarsest that is not done never waits. What is left of `num_lanes`, which is how many levels
    may be busy, goes to the finest that can: it has most left to draw, and is what is heard.

    Args:
        states: the levels of a song that may be drawn, coarsest first.
    """
    unfinished = [state for state in states if not state.is_done]
    if not unfinished:
        return ()
    due, *below = unfinished
    chosen = [due.level] if due.can_begin else []
    busy = {due.level} | {state.level for state in below if state.is_busy}
    for state in reversed(below):
        if state.can_begin and not state.is_busy and len(busy) < num_lanes:
            busy.add(state.level)
            chosen.append(state.level)
    return tuple(chosen)


def upper_tokens_needed(
    config: JukeboxConfig, level: Level, window: Window, upper_total_tokens: int
) -> int:
    """How many tokens of the level above must be there, from the first on, to draw a window."""
    start = window.start // config.time_base.tokens_per_upper_token(level)
    needed = start + config.prior(level).upper_context_tokens
    return min(needed, upper_total_tokens)


class Lanes:
    """How many levels a worker draws at the same time, and which of them its songs are due at.

    A song may draw ahead in lanes that no song needs for what is due. So it delays nobody by more
    than the window that it has begun when another song comes. Made for threads.

    num_lanes  levels that the device draws at the same time as fast as one of them alone
    """

    def __init__(self, wish: OverlapWish, num_lanes: int) -> None:
        self.wish, self._num_lanes = wish, num_lanes
        self._lock = threading.Lock()
        self._due: dict[str, Level] = {}

    def set_due(self, job_id: str, level: Level | None) -> None:
        """The coarsest level that this song has not done; None when it is away."""
        with self._lock:
            if level is None:
                self._due.pop(job_id, None)
            else:
                self._due[job_id] = level

    def num_free_for(self, job_id: str) -> int:
        """How many levels this song may draw at the same time; at least 1."""
        with self._lock:
            others = {level for song, level in self._due.items() if song != job_id}
            return num_lanes_for(self.wish, self._num_lanes, self._due.get(job_id), others)


def num_lanes_for(
    wish: OverlapWish, num_lanes: int, own: Level | None, others: Collection[Level]
) -> int:
    """Lanes for one song, due at `own`, while others are due at `others`; at least 1."""
    if wish is OverlapWish.ON:
        return len(COARSE_TO_FINE)
    if wish is OverlapWish.OFF:
        return 1
    return max(num_lanes - len(set(others) - {own}), 1)
