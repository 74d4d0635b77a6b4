"""How far a job is: written by the threads of its task, read by its heartbeat."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jobs.record.job import Job, LevelProgress

RENDER_SHARE = 0.02
"""Part of a job's progress that is not drawing."""
SPEED_WINDOW_SEC = 60.0
"""The speed is that of this last stretch of time."""
MIN_MEASURED_SEC = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every level, the whole job in [0, 1], and the seconds that are left; None when unknown."""

    levels: Mapping[str, LevelProgress]
    value: float
    seconds_left: float | None


class StageProgress:
    """Tokens and windows of every level of one job, per sample, and what they mean for all.

    A token counts by what it costs, so that the value grows evenly with time although a step of the
    top level takes longer than one of the levels below it.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._totals = {level: plan.tokens_total for level, plan in job.plan.items()}
        self._costs = dict.fromkeys(self._totals, 1.0)
        self._levels = {
            level: job.progress.get(level, LevelProgress(tokens_done=plan.prompt_tokens))
            for level, plan in job.plan.items()
        }
        self._watched: Mapping[str, Callable[[], LevelProgress]] = {}
        self._rendered = 0.0
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()
        """Moments, and the work that was done by then; the first is that of no progress yet."""

    def set_costs(self, costs: Mapping[str, float]) -> None:
        """What one token of each level costs, in any unit."""
        self._costs = {level: costs[level] for level in self._totals}
        self._seen = deque()

    def watch(self, level: str, look: Callable[[], LevelProgress]) -> None:
        """From now on `look` tells how far `level` is. It is called by another thread."""
        self._watched = {**self._watched, level: look}
        # What was read from the disk took no time to draw.
        self._seen = deque()

    def set_kept(self, level: str, *, tokens: int, windows: int) -> None:
        """So many tokens, in so many windows, are on disk; no window is being drawn."""
        kept = LevelProgress(tokens_done=tokens, windows_done=windows)
        self.watch(level, lambda: kept)

    def set_rendered(self, share: float) -> None:
        """Part in [0, 1] of the last stage that is done."""
        self._rendered = share

    def snapshot(self) -> Snapshot:
        """What is so at this moment."""
        levels = self._levels | {level: look() for level, look in self._watched.items()}
        done = sum(self._costs[name] * level.tokens_done for name, level in levels.items())
        total = sum(self._costs[name] * tokens for name, tokens in self._totals.items())
        value = (1.0 - RENDER_SHARE) * done / total + RENDER_SHARE * self._rendered
        left = max(total - done, 0.0)
        return Snapshot(levels=levels, value=value, seconds_left=self._seconds_for(left, done))

    def _seconds_for(self, left: float, done: float) -> float | None:
        if left <= 0.0:
            return 0.0
        now, seen = self._clock(), self._seen
        if seen and done <= seen[0][1]:
            # Loading a model, or waiting for a place: no time of drawing.
            seen.clear()
        seen.append((now, done))
        while len(seen) > 2 and now - seen[1][0] >= SPEED_WINDOW_SEC:
            seen.popleft()
        since, before = seen[0]
        if now - since < MIN_MEASURED_SEC or done <= before:
            return None
        return left * (now - since) / (done - before)
