"""Generating the levels of a job, window by window; each is kept as soon as it is sampled."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.record.job import CodesFile, LevelProgress
from jukebox_core.backends.choose import uses_cores
from jukebox_core.engine.level_run import LevelRun, SegmentRun
from jukebox_core.engine.overlap import levels_to_begin
from jukebox_core.engine.song_run import SongRun, WindowRun
from jukebox_core.sampling.step_cost import LevelWork
from jukebox_core.sampling.windows import Window
from jukebox_core.units import Level
from worker.device.works import Drawing, Peek
from worker.lease.lease import POLL_SEC, Lease
from worker.parts import WorkerParts
from worker.song.job_song import JobSong
from worker.song.level_audio import LevelSound
from worker.song.writer import OrderedWriter

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Codes = NDArray[np.int64]


@dataclass(slots=True)
class SamplingTime:
    """What this worker has sampled of one level; windows kept by others do not count.

    While several levels of a song are sampled, each has its share of every second. Seconds in which
    tokens wait for other parts of the song are none of theirs.
    """

    seconds: float = 0.0
    num_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all samples together, for each second that their windows took."""
        return self.num_tokens / self.seconds if self.seconds > 0.0 else 0.0


@dataclass(slots=True, eq=False)
class _KeptLevel:
    """A level, of which `num_kept` windows are on disk and on record."""

    run: LevelRun
    num_kept: int = 0
    time: SamplingTime = field(default_factory=SamplingTime)

    def progress(self) -> LevelProgress:
        """How far it is; asked for by other threads."""
        return LevelProgress(tokens_done=self.run.num_tokens, windows_done=self.num_kept)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A window that is there: codes int64 [rows, warm-up and new tokens]."""

    level: _KeptLevel
    window: WindowRun
    codes: Codes


class SongGenerator:
    """Brings the levels of a claimed job to their end; a context manager.

    Windows whose files are there and intact are read; from the first that is not, everything of its
    segment is drawn (again). That gives the same codes, because a window depends only on the song,
    on what its segment has before it, and on the codes above. Levels of earlier stages are mended
    in the same way, should their files be lost.

    Levels that are not due yet are drawn *ahead*, as far as the codes above them are there and the
    planner (`jukebox_core/engine/overlap.py`) allows it. Their windows are kept like others:
    whoever claims the next stage finds them. Should one fail, what is due goes on, and nothing more
    is drawn ahead.

    Args:
        works: by what its progress weighs windows.
        ahead: the levels that may be drawn before their stage.
        read_prompt: gives what each level begins with, int64 [rows, n], when it is needed;
            that is never drawn.
        on_window_kept: hears of every window that is on record, from another thread.
    """

    def __init__(
        self,
        worker: WorkerParts,
        lease: Lease,
        song: JobSong,
        *,
        works: Mapping[Level, LevelWork],
        ahead: Collection[Level] = (),
        read_prompt: Callable[[], Mapping[Level, Codes]],
        on_window_kept: Callable[[Level, int], None] = lambda _level, _num_tokens: None,
    ) -> None:
        self.song = song
        self.sound: LevelSound | None = None
        """Is given the codes of its level as they come; not those of a level in segments, since
        these are joined last."""
        self._worker, self._lease = worker, lease
        self._ahead, self._read_prompt, self._on_kept = ahead, read_prompt, on_window_kept
        self._works = works
        self._prompt: Mapping[Level, Codes] | None = None
        self._run = SongRun(song.inputs(f"{lease.claim.job.id}:{lease.claim.fence}"))
        self._levels: dict[Level, _KeptLevel] = {}
        self._under_way: list[tuple[WindowRun, Drawing]] = []
        self._peeks: list[tuple[WindowRun, Peek]] = []
        self._last = song.song.levels[0]
        self._wake = threading.Event()
        self._writer = OrderedWriter(lease.claim.job.id, self._wake)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix=f"beside {lease.claim.job.id}")
        self._ticked_at, self._held_up_sec = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._lease.let_go()
        for _, drawing in self._under_way:
            self._worker.engine.cancel(drawing)
        self._worker.row_budget.leave(self._lease.claim.job.id)
        self._beside.shutdown(wait=True)
        self._writer.close()

    def codes_through(self, last: Level) -> dict[Level, Codes]:
        """Codes of every level down to `last`: int64 [rows, total_tokens] each.

        They end with the padding, if the plan has any.

        Raises what `Lease.check` raises, and what stopped a drawing or its keeping.
        """
        self._last = last
        levels = [self._open(level).run for level in self._levels_through(last)]
        if levels[-1].num_taken:
            self._let_hear(levels[-1], levels[-1].end)
        self._go_on(lambda: all(level.is_done for level in levels))
        return {level.level: level.codes for level in levels}

    def draw_beside(self, work: Callable[[], Result]) -> Result:
        """Do `work` on another thread, and meanwhile draw what may be drawn ahead.

        Raises what it raises, and what `codes_through` does.
        """
        doing = self._beside.submit(work)
        doing.add_done_callback(lambda _: self._wake.set())
        self._go_on(doing.done)
        return doing.result()

    def keep(self, write: Callable[[], None]) -> None:
        """Do this once every window that is drawn by now is on record, on the thread for that."""
        self._writer.put(write)

    def wait_kept(self) -> None:
        """Until every window that is drawn by now is on record. Raises what stopped that."""
        self._writer.flush()

    def time_of(self, level: Level) -> SamplingTime:
        """What this worker has spent on a level so far."""
        return self._levels[level].time

    def _levels_through(self, last: Level) -> list[Level]:
        return [level for level in self.song.song.levels if level >= last]

    def _go_on(self, until: Callable[[], bool]) -> None:
        """Draw until something is so."""
        model = self._lease.claim.job.request.model
        while True:
            self._wake.clear()
            self._lease.check()
            self._writer.check()
            self._share_out_time()
            taken = self._take_what_ended()
            is_over = until()
            if not is_over:
                # First of all: the device waits for it.
                for window in self._begin_windows():
                    drawing = self._worker.engine.draw(model, window.sequences)
                    self._under_way.append((window, drawing))
                    drawing.wake(self._wake)
            for each in taken:
                self._keep_later(each)
            self._let_hear_sooner()
            if is_over:
                return
            self._wake.wait(POLL_SEC)

    def _share_out_time(self) -> None:
        now, held_up_sec = time.monotonic(), self._lease.progress.parts.held_up_sec
        waited_sec = held_up_sec - self._held_up_sec
        busy = [level for level in self._levels.values() if level.run.is_busy]
        for level in busy:
            level.time.seconds += max(now - self._ticked_at - waited_sec, 0.0) / len(busy)
        self._ticked_at, self._held_up_sec = now, held_up_sec

    def _take_what_ended(self) -> list[_Taken]:
        ended = [(window, drawing) for window, drawing in self._under_way if drawing.has_ended]
        self._under_way = [each for each in self._under_way if each not in ended]
        taken = []
        for window, drawing in ended:
            if drawing.error is not None and window.level.level < self._last:
                self._give_up_ahead(window, drawing.error)
            else:
                taken.append(self._take(window, drawing.codes()))
        return taken

    def _give_up_ahead(self, window: WindowRun, error: Exception) -> None:
        """What fails before its stage is tried again when that comes: what is due may end well."""
        extra = {**self._extra(window.window), "level": window.level.level.label}
        log.warning("nothing more is drawn ahead: %s", error, extra=extra)
        window.segment.give_up()
        self._ahead = ()

    def _take(self, window: WindowRun, codes: Codes) -> _Taken:
        window.segment.take(codes)
        level = self._levels[window.level.level]
        level.time.num_tokens += window.window.num_new * len(codes)
        return _Taken(level, window, codes)

    def _keep_later(self, taken: _Taken) -> None:
        run = taken.level.run
        extra = {**self._extra(taken.window.window), "level": run.level.label}
        log.info("window drawn", extra=extra)
        self._writer.put_in_two(lambda: self._write(taken), lambda file: self._record(taken, file))
        self._let_hear(run, run.end)

    def _let_hear(self, run: LevelRun, num_tokens: int) -> None:
        if self.sound is not None and self.sound.level is run.level and not run.is_segmented:
            self.sound.begin(run.codes, num_tokens)

    def _let_hear_sooner(self) -> None:
        """Do not wait for the end of a window that the next piece of sound lies in.

        The pieces are decoded in any case. Windows are looked into only as often as one can begin.
        """
        sound = self.sound
        if sound is None:
            return
        sound.keep_made()
        peeks, self._peeks = self._peeks, []
        windows = {window: drawing for window, drawing in self._under_way}
        for window, peek in peeks:
            if not peek.has_ended:
                self._peeks.append((window, peek))
            elif window in windows and peek.codes is not None and window.level.level is sound.level:
                self._let_hear(window.level, window.segment.preview(peek.codes))
        if self._peeks or sound.tokens_wanted is None:
            return
        for window, drawing in windows.items():
            if window.level.level is sound.level and _reaches(window, sound.tokens_wanted):
                peek = self._worker.engine.peek(drawing)
                self._peeks.append((window, peek))
                peek.wake(self._wake)
                return

    def _write(self, taken: _Taken) -> CodesFile:
        claim = self._lease.claim
        return self._worker.artifacts.write_codes(
            claim.job.id,
            fence=claim.fence,
            level=taken.level.run.level.label,
            start=taken.window.window.first_new,
            codes=taken.codes,
            run_up=taken.window.warm_up_tokens,
        )

    def _record(self, taken: _Taken, file: CodesFile) -> None:
        claim, level = self._lease.claim, taken.level.run.level
        self._lease.write(lambda: self._worker.store.record_window(claim, file))
        taken.level.num_kept += 1
        self._on_kept(level, taken.codes.size)

    def _begin_windows(self) -> list[WindowRun]:
        """Windows that can be drawn now; they count as begun."""
        if self._writer.is_full:
            return []
        levels = [self._open(level).run for level in self.song.song.levels if self._may_draw(level)]
        chosen = levels_to_begin(self._run.states(levels), self._levels_at_once(levels))
        return [window for level in chosen for window in self._run.begin(level)]

    def _levels_at_once(self, levels: Collection[LevelRun]) -> int:
        due_rows = next((level.num_rows for level in levels if not level.is_done), 0)
        return self._worker.row_budget.num_levels_for(
            self._lease.claim.job.id, due_rows, shares_rows=uses_cores(self.song.backend)
        )

    def _may_draw(self, level: Level) -> bool:
        if level >= self._last:
            return True
        model = self._lease.claim.job.request.model
        return level in self._ahead and self._worker.engine.keeps_all_priors(model)

    def _open(self, level: Level) -> _KeptLevel:
        """A level with what is kept of it."""
        if level not in self._levels:
            if self._prompt is None:
                self._prompt = self._read_prompt()
            opened = _KeptLevel(self._run.open(level, self._prompt.get(level)))
            self._read_kept(opened)
            self._lease.progress.watch(
                level.label,
                opened.progress,
                partial(opened.run.sampled_work, self._works[level]),
            )
            self._levels[level] = opened
        return self._levels[level]

    def _read_kept(self, level: _KeptLevel) -> None:
        """Fill in the windows that are kept and intact, of each segment up to the first gap."""
        claim = self._lease.claim
        files = {file.start: file for file in claim.job.codes_of(level.run.level.label)}
        with self._worker.artifacts.read_ahead(claim.job.id, list(files.values())):
            for segment in level.run.segments:
                while not segment.is_done:
                    file = files.get(segment.next_window.first_new)
                    if file is None or not self._read_window(segment, file):
                        break
                    del files[file.start]
        level.num_kept = level.run.num_taken
        if files:
            names = [file.name for file in files.values()]
            self._lease.write(lambda: self._worker.store.forget_windows(claim, names))

    def _read_window(self, segment: SegmentRun, file: CodesFile) -> bool:
        if (file.end, file.run_up) != (segment.next_window.end, segment.warm_up_tokens):
            return False
        try:
            job_id = self._lease.claim.job.id
            segment.take(self._worker.artifacts.read_codes(job_id, file, with_run_up=True))
        except (ArtifactNotFound, ArtifactCorrupt, ValueError) as error:
            extra = self._extra(segment.next_window)
            log.warning("a kept window cannot be used: %s", error, extra=extra)
            return False
        return True

    def _extra(self, window: Window) -> dict[str, object]:
        job = self._lease.claim.job
        return {"job_id": job.id, "stage": job.stage, "start": window.start, "end": window.end}


def _reaches(window: WindowRun, num_tokens: int) -> bool:
    """Whether so much of the song is sampled by the middle of this window, and not before it."""
    if window.level.is_segmented or window.segment.segment.infills:
        return False
    num_sampled = min(sequence.num_sampled for sequence in window.sequences)
    first = window.segment.next_sampled.first_new
    return first < num_tokens <= first + num_sampled and num_tokens < window.window.end
