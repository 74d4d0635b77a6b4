"""How far a job is: written by the threads of its task, read by its heartbeat."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from jobs.forecast import RENDER_SHARE, Part, PartKind
from jobs.record.job import Job, LevelProgress
from worker.lease.parts_progress import PartsProgress, Timed

SPEED_WINDOW_SEC = 60.0
"""The speed is that of this last stretch of time."""
MIN_MEASURED_SEC = 1.0
LOADING_SEC = 5.0
"""Where tokens wait longer for the first of a level, the beginning of its window takes the rest."""
GUESS_SEC = 10.0
"""What a guess at the speed counts as, in seconds of measuring it."""
GUESS_UNTIL_SEC = 30.0
"""Once so much was measured a guess counts as nothing."""


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

    The speed is that of sampling alone: while tokens wait for other parts of the job (sound, lyric
    times, a prior that is loaded), its clock stands still.
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
        self._work_sec: float | None = None
        self._watched: Mapping[str, Callable[[], LevelProgress]] = {}
        self._measured: Mapping[str, Callable[[], float]] = {}
        self._begun: Mapping[str, Callable[[], float]] = {}
        self._at_first: Mapping[str, float] = {}
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()
        """Moments, and the work that was sampled by then; the first is that of no progress yet."""
        self._speed: float | None = None
        self._value = 0.0
        self._looked: tuple[float, float, float] | None = None
        self._loading = Timed()
        self.set_works({level: float(number) for level, number in self._missing.items()})

    def set_works(
        self,
        works: Mapping[str, float],
        work_sec: float | None = None,
        parts: Iterable[Part] | None = None,
    ) -> None:
        """What sampling each level takes, in any unit; `work_sec` is a guess at one, in seconds.

        It serves until the speed is measured for half a minute, less and less. `parts` are what the
        job takes besides, in the same unit; by default the last stage takes a share of the whole.
        """
        self._works = {level: works[level] for level in self._missing}
        self._work_sec = work_sec
        if parts is None:
            rendering = sum(self._works.values()) * RENDER_SHARE / (1.0 - RENDER_SHARE)
            parts = [Part(PartKind.RENDERING, None, rendering)]
        self.parts = PartsProgress(parts)
        self._seen = deque()

    def watch(
        self,
        level: str,
        look: Callable[[], LevelProgress],
        work_done: Callable[[], float] | None = None,
        work_begun: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """From now on `look` tells how far `level` is, and `work_done` how much work that was.

        `work_begun` is what will be done at once: the beginnings of windows that are under way. All
        are called by another thread. Without the second it follows from the tokens.
        """
        self._begun = {**self._begun, level: work_begun}
        # What was read from the disk took no time to draw.
        kept = self._by_tokens(level, look()) if work_done is None else work_done()
        self._at_first = {**self._at_first, level: kept}
        if work_done is not None:
            self._measured = {**self._measured, level: work_done}
        self._watched = {**self._watched, level: look}

    def set_kept(self, level: str, *, tokens: int, windows: int) -> None:
        """So many tokens, in so many windows, are on disk; no window is being drawn."""
        kept = LevelProgress(tokens_done=tokens, windows_done=windows)
        self.watch(level, lambda: kept)

    def set_rendered(self, share: float) -> None:
        """Part in [0, 1] of the last stage that is done."""
        self.parts.rendered = share

    @contextmanager
    def part(self, kind: PartKind, level: str | None) -> Iterator[None]:
        """A part that begins and ends here, while tokens may be sampled."""
        work = _Running(self._clock)
        self.parts.watch(kind, level, work)
        try:
            yield
        finally:
            work.stop()
        self.parts.end(kind, level)

    def snapshot(self) -> Snapshot:
        """What is so at this moment."""
        levels = self._levels | {level: look() for level, look in self._watched.items()}
        works = {name: self._work_of(name, level) for name, level in levels.items()}
        done, sampling = sum(works.values()), sum(self._works.values())
        self._end_loading(works)
        fresh = sum(max(works[name] - kept, 0.0) for name, kept in self._at_first.items())
        self._note_time(fresh, works)
        speed = self._speed_now(fresh, is_sampling=done < sampling)
        work_sec = None if speed is None else 1.0 / speed
        left = max(sampling - done - self._unseen(speed), 0.0) + self.parts.left(work_sec)
        total = sampling + self.parts.total
        value = (total - left) / total if total else 1.0
        # A part that takes longer than it should must not take back what was told.
        self._value = max(self._value, value)
        seconds_left = 0.0 if left <= 0.0 else (None if work_sec is None else left * work_sec)
        return Snapshot(levels=levels, value=self._value, seconds_left=seconds_left)

    def _work_of(self, name: str, level: LevelProgress) -> float:
        if name in self._measured:
            return min(self._measured[name](), self._works[name])
        return self._by_tokens(name, level)

    def _by_tokens(self, name: str, level: LevelProgress) -> float:
        missing = self._missing[name]
        if not missing:
            return self._works[name]
        return self._works[name] * max(level.tokens_done - self._prompts[name], 0) / missing

    def _end_loading(self, works: Mapping[str, float]) -> None:
        """A prior is there once its level moves.

        The beginning of its first window, which appears all at once then, is no measure of speed.
        """
        for level in self.parts.unended(PartKind.LOADING):
            if works[level] > self._at_first.get(level, 0.0):
                self.parts.end(PartKind.LOADING, level)
                self._at_first = {**self._at_first, level: works[level]}
                self._loading = Timed()

    def _note_time(self, fresh: float, works: Mapping[str, float]) -> None:
        """Time in which nothing moves is that of a prior that has to be loaded, if one is due."""
        now, held_up = self._clock(), self.parts.held_up_sec
        before, self._looked = self._looked, (now, fresh, held_up)
        level = self._due_to_load(works)
        if before is None or level is None or (fresh, held_up) != before[1:]:
            return
        if not self._loading.spent_sec:
            self.parts.watch(PartKind.LOADING, level, self._loading)
        self._loading.spent_sec += now - before[0]
        self._looked = (now, fresh, self.parts.held_up_sec)

    def _due_to_load(self, works: Mapping[str, float]) -> str | None:
        """The level whose prior songs wait for, with all levels above it sampled."""
        unloaded = self.parts.unended(PartKind.LOADING)[:1]
        above = itertools.takewhile(lambda name: name not in unloaded, self._works)
        return (
            unloaded[0]
            if unloaded and all(_is_all(works[n], self._works[n]) for n in above)
            else None
        )

    def _speed_now(self, fresh: float, *, is_sampling: bool) -> float | None:
        """Work in a second; the last that was known once everything is sampled."""
        if is_sampling or self._speed is None:
            self._speed = self._measured_speed(fresh)
        return self._speed

    def _unseen(self, speed: float | None) -> float:
        """Work on the beginnings of windows since something was new the last time."""
        if speed is None or not self._seen:
            return 0.0
        begun = sum(work_begun() for work_begun in self._begun.values())
        waited_sec = self._clock() - self.parts.held_up_sec - self._seen[-1][0]
        waited_sec += max(self._loading.spent_sec - LOADING_SEC, 0.0)
        return min(waited_sec * speed, begun)

    def _measured_speed(self, fresh: float) -> float | None:
        """Between moments at which something was new: the beginning of a window is, all at once."""
        now, seen = self._clock() - self.parts.held_up_sec, self._seen
        if len(seen) == 1 and fresh <= seen[0][1]:
            # Loading a model, or waiting for a place: no time of drawing.
            seen.clear()
        if not seen or fresh > seen[-1][1]:
            seen.append((now, fresh))
        while len(seen) > 2 and seen[-1][0] - seen[1][0] >= SPEED_WINDOW_SEC:
            seen.popleft()
        seconds, work = (last - first for last, first in zip(seen[-1], seen[0], strict=True))
        if self._work_sec is None:
            return None if seconds < MIN_MEASURED_SEC or work <= 0.0 else work / seconds
        # The first steps say little: weights are read from the disk meanwhile. So a guess counts
        # as some seconds of measuring, and as none after half a minute.
        guessed_sec = GUESS_SEC * max(1.0 - seconds / GUESS_UNTIL_SEC, 0.0)
        if work <= 0.0 or seconds <= 0.0:
            return 1.0 / self._work_sec
        return (work + guessed_sec / self._work_sec) / (seconds + guessed_sec)


def _is_all(done: float, work: float) -> bool:
    """But for rounding."""
    return done >= work * (1.0 - 1e-6)


class _Running:
    """Seconds from now until `stop`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._since = clock, clock()
        self._until: float | None = None

    @property
    def spent_sec(self) -> float:
        """So far."""
        return (self._clock() if self._until is None else self._until) - self._since

    @property
    def held_up_sec(self) -> float:
        """None."""
        return 0.0

    def stop(self) -> None:
        """Count no longer."""
        self._until = self._clock()
