"""Which levels of a song are sampled at the same time: decided from plain facts, no tensors."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jukebox_core.config import JukeboxConfig
from jukebox_core.sampling.windows import Window
from jukebox_core.units import COARSE_TO_FINE, Level


class OverlapMode(StrEnum):
    """`overlap` in `JUKEBOX_TUNING`.

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

    is_done    all its windows are there
    is_busy    some of them are being sampled now
    can_begin  another one could be begun: what lies before and above it is there
    """

    level: Level
    is_done: bool
    is_busy: bool
    can_begin: bool


def levels_to_begin(states: Sequence[LevelState], num_levels: int) -> tuple[Level, ...]:
    """Of which levels the next windows should be begun now.

    The coarsest that is not done never waits. What is left of `num_levels`, the number of levels
    that may be busy, goes to the finest that can: it has most left to sample, and is what is heard.

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
        if state.can_begin and not state.is_busy and len(busy) < num_levels:
            busy.add(state.level)
            chosen.append(state.level)
    return tuple(chosen)


def finest_to_begin(states: Sequence[LevelState]) -> tuple[Level, ...]:
    """The finest level that can begin a window, unless another one is busy: level by level.

    In this order the beginning of a song is finished at all levels long before its end is begun at
    any.

    Args:
        states: the levels of a song, coarsest first.
    """
    able = [state.level for state in states if state.can_begin]
    busy = {state.level for state in states if state.is_busy}
    return tuple(able[-1:]) if busy <= set(able[-1:]) else ()


def upper_tokens_needed(
    config: JukeboxConfig, level: Level, window: Window, upper_total_tokens: int
) -> int:
    """How many tokens of the level above must be there, from the first on, to draw a window."""
    start = window.start // config.time_base.tokens_per_upper_token(level)
    needed = start + config.prior(level).upper_context_tokens
    return min(needed, upper_total_tokens)


class RowBudget:
    """The rows that the songs of a process are due to sample, and those that are free besides.

    A song may run ahead in rows that no song needs for what is due. So it delays nobody by more
    than the window that it has begun when another song comes. Made for threads.

    Args:
        mode: see `OverlapMode`.
        max_rows: rows, of any levels, that are sampled at the same time as fast as one alone.
    """

    def __init__(self, mode: OverlapMode, max_rows: int) -> None:
        self.mode, self._max_rows = mode, max_rows
        self._lock = threading.Lock()
        self._due_rows: dict[str, int] = {}

    def num_levels_for(self, song_id: str, due_rows: int, *, shares_rows: bool) -> int:
        """How many levels of this song may be sampled at the same time; at least 1.

        due_rows     of the coarsest level that is not done; 0 when there is none
        shares_rows  its rows and levels are computed at the same time, and do not take turns
        """
        with self._lock:
            self._due_rows[song_id] = due_rows
            max_rows = self._max_rows if shares_rows else 1
            return plan_levels_at_once(self.mode, max_rows, due_rows, sum(self._due_rows.values()))

    def leave(self, song_id: str) -> None:
        """This song needs no row any more."""
        with self._lock:
            self._due_rows.pop(song_id, None)


def plan_levels_at_once(mode: OverlapMode, max_rows: int, due_rows: int, all_due_rows: int) -> int:
    """Levels at once of a song with `due_rows` of the `all_due_rows` that songs need; at least 1.

    Every level that runs ahead takes as many rows as the one that is due.
    """
    if mode is OverlapMode.ON:
        return len(COARSE_TO_FINE)
    if mode is OverlapMode.OFF or due_rows < 1:
        return 1
    return 1 + max(max_rows - all_due_rows, 0) // due_rows
