"""How far a job is: written by the threads of its task, read by its heartbeat."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jobs.forecast import RENDER_SHARE, Part, PartKind
from jobs.record.job import Job, LevelProgress
from jukebox_core.sampling.step_cost import LevelWork, SampledWork
from worker.lease.paces import Item, Paces, SampledKind
from worker.lease.parts_progress import PartsProgress, Timed

LOADING_SEC = 5.0
"""Where tokens wait longer for the first of a level, the beginning of its window takes the rest."""
_KINDS = tuple(SampledKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every level, the whole job in [0, 1], and the seconds that are left; None when unknown."""

    levels: Mapping[str, LevelProgress]
    value: float
    seconds_left: float | None


class StageProgress:
    """Tokens and windows of every level of one job, per sample, and the work that they are.

    Work is what should take equally long wherever it is done: a step of the top level may take
    longer than one of those below it, more rows longer than one, and a window takes time before its
    first token. Until it is told what the levels take, a token counts as much at one as at another.
    How long it does take is measured, for the tokens and for the windows of each level
    (`worker/lease/paces.py`); value and seconds follow from both.

    That is measured of sampling alone: while tokens wait for other parts of the job (sound, lyric
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
        self._watched: Mapping[str, Callable[[], LevelProgress]] = {}
        self._measured: Mapping[str, Callable[[], SampledWork]] = {}
        self._at_first: Mapping[str, SampledWork] = {}
        self._clock = clock
        self._value = 0.0
        self._looked: tuple[float, Mapping[Item, float], float] | None = None
        self._loading = Timed()
        self.set_works({level: float(number) for level, number in self._missing.items()})

    def set_works(
        self,
        works: Mapping[str, float],
        work_sec: float | None = None,
        parts: Iterable[Part] | None = None,
        beginnings: Mapping[str, float] | None = None,
    ) -> None:
        """What sampling each level takes, in any unit; `work_sec` is a guess at one, in seconds.

        It serves until enough is measured. `beginnings` are what of it the windows take before
        their first token. `parts` are what the job takes besides, in the same unit; by default the
        last stage takes a share of the whole.
        """
        before = beginnings or {}
        self._works = {
            level: SampledWork(before.get(level, 0.0), works[level] - before.get(level, 0.0))
            for level in self._missing
        }
        if parts is None:
            rendering = sum(map(_sum, self._works.values())) * RENDER_SHARE / (1.0 - RENDER_SHARE)
            parts = [Part(PartKind.RENDERING, None, rendering)]
        self.parts = PartsProgress(parts)
        total = sum(map(_sum, self._works.values())) + self.parts.total
        self._paces = Paces(total, work_sec)
        self._counted: dict[Item, float] = {}
        """What of every item was there at `_moved_at`, when something was new the last time."""
        self._moved_at: float | None = None

    def watch(
        self,
        level: str,
        look: Callable[[], LevelProgress],
        sampled: Callable[[], SampledWork] | None = None,
    ) -> None:
        """From now on `look` tells how far `level` is, and `sampled` how much work that was.

        Both are called by another thread. Without the second it follows from the tokens.
        """
        # What was read from the disk took no time to draw.
        kept = self._by_tokens(level, look()) if sampled is None else sampled()
        self._at_first = {**self._at_first, level: kept}
        if sampled is not None:
            self._measured = {**self._measured, level: sampled}
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
        is_first = self._end_loading(works)
        fresh = self._fresh(works)
        self._note_time(fresh, works)
        self._note_paces(fresh, is_first=is_first)
        overall = self._paces.overall
        done, total = self._seconds(works)
        work_sec = 1.0 if overall is None else overall
        left = max(total - done, 0.0) + work_sec * self.parts.left(overall)
        total += work_sec * self.parts.total
        # A part that takes longer than it should must not take back what was told.
        self._value = max(self._value, (total - left) / total if total else 1.0)
        is_known = overall is not None or left <= 0.0
        return Snapshot(
            levels=levels, value=self._value, seconds_left=max(left, 0.0) if is_known else None
        )

    def measured_as(self, level: str, work: LevelWork) -> tuple[LevelWork, float] | None:
        """A model of costs with what the windows of its level took to begin, against its tokens.

        And the seconds that a unit of these beginnings took by the old one. None if too little of
        either was seen.
        """
        beginning, token = (self._paces.measured((kind, level)) for kind in _KINDS)
        if beginning is None or token is None:
            return None
        times, costs = beginning / token, work.costs
        costs = replace(costs, window=times * costs.window, read_token=times * costs.read_token)
        return replace(work, costs=costs), beginning

    def _work_of(self, name: str, level: LevelProgress) -> SampledWork:
        if name not in self._measured:
            return self._by_tokens(name, level)
        done, works = self._measured[name](), self._works[name]
        return SampledWork(
            min(done.beginnings, works.beginnings), min(done.tokens, works.tokens), done.begun
        )

    def _by_tokens(self, name: str, level: LevelProgress) -> SampledWork:
        missing, works = self._missing[name], self._works[name]
        if not missing:
            return works
        share = max(level.tokens_done - self._prompts[name], 0) / missing
        return SampledWork(share * works.beginnings, share * works.tokens)

    def _fresh(self, works: Mapping[str, SampledWork]) -> dict[Item, float]:
        """What was sampled since the levels were first looked at."""
        return {
            (kind, name): max(getattr(works[name], kind) - getattr(kept, kind), 0.0)
            for name, kept in self._at_first.items()
            for kind in _KINDS
        }

    def _seconds(self, works: Mapping[str, SampledWork]) -> tuple[float, float]:
        """Of what is sampled, and of all there is to sample, as long as it takes by now."""
        done = total = begun = 0.0
        for name, level in self._works.items():
            for kind in _KINDS:
                pace = self._paces.of((kind, name))
                work_sec = 1.0 if pace is None else pace
                done += work_sec * getattr(works[name], kind)
                total += work_sec * getattr(level, kind)
                if kind is SampledKind.BEGINNINGS and pace is not None:
                    begun += work_sec * works[name].begun
        return done + min(self._waited_sec(), begun), total

    def _waited_sec(self) -> float:
        """Seconds since something was new the last time: the beginning of a window is, at once."""
        if self._moved_at is None:
            return 0.0
        waited_sec = self._clock() - self.parts.held_up_sec - self._moved_at
        return waited_sec + max(self._loading.spent_sec - LOADING_SEC, 0.0)

    def _note_paces(self, fresh: Mapping[Item, float], *, is_first: bool) -> None:
        """What was done since something was new the last time, and how long that took."""
        now = self._clock() - self.parts.held_up_sec
        new = {
            item: work - self._counted.get(item, 0.0)
            for item, work in fresh.items()
            if work > self._counted.get(item, 0.0)
        }
        if new and self._moved_at is not None and not is_first:
            self._paces.note(max(now - self._moved_at, 0.0), new)
        if new or is_first or not self._counted:
            # Loading a model, or waiting for a place before anything is new, is no drawing.
            self._moved_at = now
        self._counted |= {item: fresh[item] for item in new}

    def _end_loading(self, works: Mapping[str, SampledWork]) -> bool:
        """A prior is there once its level moves; whether that is so for the first time.

        The beginning of its first window, which appears all at once then, is no measure of speed.
        """
        has_ended = False
        for level in self.parts.unended(PartKind.LOADING):
            if _sum(works[level]) > _sum(self._at_first.get(level, SampledWork())):
                self.parts.end(PartKind.LOADING, level)
                self._at_first = {**self._at_first, level: works[level]}
                self._loading = Timed()
                has_ended = True
        return has_ended

    def _note_time(self, fresh: Mapping[Item, float], works: Mapping[str, SampledWork]) -> None:
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

    def _due_to_load(self, works: Mapping[str, SampledWork]) -> str | None:
        """The level whose prior songs wait for, with all levels above it sampled."""
        unloaded = self.parts.unended(PartKind.LOADING)[:1]
        above = itertools.takewhile(lambda name: name not in unloaded, self._works)
        return (
            unloaded[0]
            if unloaded and all(_is_all(works[n], self._works[n]) for n in above)
            else None
        )


def _sum(work: SampledWork) -> float:
    return work.beginnings + work.tokens


def _is_all(done: SampledWork, work: SampledWork) -> bool:
    """But for rounding."""
    return _sum(done) >= _sum(work) * (1.0 - 1e-6)


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
