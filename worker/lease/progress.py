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
GUESS_SEC = 10.0
"""What a guess at the speed counts as, in seconds of measuring it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every level, the whole job in [0, 1], and the seconds that are left; None when unknown."""

    levels: Mapping[str, LevelProgress]
    value: float
    seconds_left: float | None


class StageProgress:
    """Tokens and windows of every level of one job, per sample, and the work that they are.

    Work is what should take equally long wherever it is done, so that the value grows evenly with
    time: a step of the top level may take longer than one of those below it, more rows longer than
    one, and a window takes time before its first token. Until it is told what the levels take, a
    token counts as much at one as at another.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._missing = {
            level: max(plan.tokens_total - plan.prompt_tokens, 0)
            for level, plan in job.plan.items()
        }
        self._prompts = {level: plan.prompt_tokens for level, plan in job.plan.items()}
        self._levels = {
            level: job.progress.get(level, LevelProgress(tokens_done=plan.prompt_tokens))
            for level, plan in job.plan.items()
        }
        self._works: Mapping[str, float] = {k: float(n) for k, n in self._missing.items()}
        self._work_sec: float | None = None
        self._watched: Mapping[str, Callable[[], LevelProgress]] = {}
        self._measured: Mapping[str, Callable[[], float]] = {}
        self._rendered = 0.0
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()
        """Moments, and the work that was done by then; the first is that of no progress yet."""

    def set_works(self, works: Mapping[str, float], work_sec: float | None = None) -> None:
        """What drawing each level takes, in any unit; `work_sec` is a guess at one, in seconds.

        It serves until the speed is measured for a minute, less and less.
        """
        self._works = {level: works[level] for level in self._missing}
        self._work_sec = work_sec
        self._seen = deque()

    def watch(
        self,
        level: str,
        look: Callable[[], LevelProgress],
        work_done: Callable[[], float] | None = None,
    ) -> None:
        """From now on `look` tells how far `level` is, and `work_done` how much work that was.

        Both are called by another thread. Without the second it follows from the tokens.
        """
        self._watched = {**self._watched, level: look}
        if work_done is not None:
            self._measured = {**self._measured, level: work_done}
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
        done = sum(self._work_of(name, level) for name, level in levels.items())
        drawing = sum(self._works.values())
        drawn = done / drawing if drawing else 1.0
        value = (1.0 - RENDER_SHARE) * drawn + RENDER_SHARE * self._rendered
        rendering = drawing * RENDER_SHARE / (1.0 - RENDER_SHARE) * (1.0 - self._rendered)
        left = max(drawing - done, 0.0) + rendering
        return Snapshot(levels=levels, value=value, seconds_left=self._seconds_for(left, done))

    def _work_of(self, name: str, level: LevelProgress) -> float:
        if name in self._measured:
            return min(self._measured[name](), self._works[name])
        missing = self._missing[name]
        if not missing:
            return self._works[name]
        return self._works[name] * max(level.tokens_done - self._prompts[name], 0) / missing

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
        seconds, work = now - since, done - before
        if self._work_sec is None:
            return None if seconds < MIN_MEASURED_SEC or work <= 0.0 else left * seconds / work
        # The first steps say little: weights are read from the disk meanwhile. So a guess counts
        # as some seconds of measuring, and as none once a minute was measured.
        guessed_sec = GUESS_SEC * max(1.0 - seconds / SPEED_WINDOW_SEC, 0.0)
        if work <= 0.0:
            seconds, guessed_sec = 0.0, GUESS_SEC
        return left * (seconds + guessed_sec) / (work + guessed_sec / self._work_sec)
