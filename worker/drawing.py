"""Drawing the levels of a job, window by window; each is kept as soon as it is drawn."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.record.job import CodesFile
from jukebox_core.sampling.windows import Window
from jukebox_core.step_kind import StepKind
from jukebox_core.units import Level
from worker.device.engine_thread import Drawing
from worker.lease.lease import POLL_SEC, Hold
from worker.level_drawing import DrawingTime, LevelDrawing
from worker.mapping import JobSong
from worker.overlap import LevelState, levels_to_begin, upper_tokens_needed
from worker.parts import WorkerParts
from worker.song.writer import Keeper
from worker.stretch_run import StretchRun

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A window that was drawn: codes int64 [num_samples, run-up and new tokens]."""

    level: LevelDrawing
    window: Window
    codes: Codes
    run_up: int


class SongDrawer:
    """Brings the levels of a claimed job to their end; a context manager.

    Windows whose files are there and intact are read; from the first that is not, everything of its
    stretch is drawn (again). That gives the same codes, because a window depends only on the song,
    on what its stretch has before it, and on the codes above. Levels of earlier stages are mended
    in the same way, should their files be lost.

    Levels that are not due yet are drawn *ahead*, as far as the codes above them are there and the
    planner (`worker/overlap.py`) allows it. Their windows are kept like others: whoever claims the
    next stage finds them. Should one fail, what is due goes on, and nothing more is drawn ahead.

    Args:
        ahead: the levels that may be drawn before their stage.
        read_prompt: gives what each level begins with, int64 [num_samples, n], when it is needed;
            that is never drawn.
        on_window_kept: hears of every window that is on record, from another thread.
    """

    def __init__(
        self,
        worker: WorkerParts,
        hold: Hold,
        song: JobSong,
        *,
        ahead: Collection[Level] = (),
        read_prompt: Callable[[], Mapping[Level, Codes]],
        on_window_kept: Callable[[Level, int], None] = lambda _level, _num_tokens: None,
    ) -> None:
        self.song = song
        self.on_codes: Callable[[Level, Codes, int], None] = lambda _level, _codes, _num: None
        """Hears of the codes of a level, int64 [num_samples, total_tokens], and how many are final;
        of a level in stretches it hears nothing, since these are joined last."""
        self._worker, self._hold = worker, hold
        self._ahead, self._read_prompt, self._on_kept = ahead, read_prompt, on_window_kept
        self._prompt: Mapping[Level, Codes] | None = None
        self._levels: dict[Level, LevelDrawing] = {}
        self._last = song.song.levels[0]
        self._wake = threading.Event()
        self._keeper = Keeper(hold.claim.job.id, self._wake)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix=f"beside {hold.claim.job.id}")
        self._ticked_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._hold.let_go()
        for level in self._levels.values():
            for run in level.runs:
                if run.drawing is not None:
                    self._worker.engine.cancel(run.drawing)
        self._worker.lanes.leave(self._hold.claim.job.id)
        self._beside.shutdown(wait=True)
        self._keeper.close()

    def codes_through(self, last: Level) -> dict[Level, Codes]:
        """Codes of every level down to `last`: int64 [num_samples, total_tokens] each.

        They end with the lead-out, if the plan has any.

        Raises what `Hold.check` raises, and what stopped a drawing or its keeping.
        """
        self._last = last
        levels = [self._open(level) for level in self._levels_through(last)]
        if len(levels[-1].runs) == 1 and levels[-1].num_taken:
            self.on_codes(last, levels[-1].codes, levels[-1].end)
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
        self._keeper.put(write)

    def wait_kept(self) -> None:
        """Until every window that is drawn by now is on record. Raises what stopped that."""
        self._keeper.flush()

    def time_of(self, level: Level) -> DrawingTime:
        """What this worker has spent on a level so far."""
        return self._levels[level].time

    def _levels_through(self, last: Level) -> list[Level]:
        return [level for level in self.song.song.levels if level >= last]

    def _go_on(self, until: Callable[[], bool]) -> None:
        """Draw until something is so."""
        while True:
            self._wake.clear()
            self._hold.check()
            self._keeper.check()
            self._share_out_time()
            taken = self._take_what_ended()
            is_over = until()
            if not is_over:
                # First of all: the device waits for it.
                self._begin_what_can()
            for each in taken:
                self._keep_later(each)
            if is_over:
                return
            self._wake.wait(POLL_SEC)

    def _share_out_time(self) -> None:
        now = time.monotonic()
        busy = [level for level in self._levels.values() if level.is_busy]
        for level in busy:
            level.time.seconds += (now - self._ticked_at) / len(busy)
        self._ticked_at = now

    def _take_what_ended(self) -> list[_Taken]:
        ended = [
            (level, run, run.drawing)
            for level in self._levels.values()
            for run in level.runs
            if run.drawing is not None and run.drawing.has_ended
        ]
        taken = []
        for level, run, drawing in ended:
            if drawing.error is not None and level.level < self._last:
                self._give_up_ahead(level, run, drawing.error)
            else:
                taken.append(self._take(level, run, drawing))
        return taken

    def _give_up_ahead(self, level: LevelDrawing, run: StretchRun, error: Exception) -> None:
        """What fails before its stage is tried again when that comes: what is due may end well."""
        extra = {**self._extra(run.next_window), "level": level.level.label}
        log.warning("nothing more is drawn ahead: %s", error, extra=extra)
        run.give_up()
        self._ahead = ()

    def _take(self, level: LevelDrawing, run: StretchRun, drawing: Drawing) -> _Taken:
        taken = _Taken(level, run.next_window, drawing.codes(), run.run_up)
        run.take(taken.codes)
        level.time.num_tokens += taken.window.num_new * len(taken.codes)
        return taken

    def _keep_later(self, taken: _Taken) -> None:
        level = taken.level
        log.info("window drawn", extra={**self._extra(taken.window), "level": level.level.label})
        self._keeper.put(lambda: self._keep(taken))
        if len(level.runs) == 1:
            self.on_codes(level.level, level.codes, level.end)

    def _keep(self, taken: _Taken) -> None:
        claim, level = self._hold.claim, taken.level
        file = self._worker.artifacts.write_codes(
            claim.job.id,
            fence=claim.fence,
            level=level.level.label,
            start=taken.window.first_new,
            codes=taken.codes,
            run_up=taken.run_up,
        )
        self._hold.write(lambda: self._worker.store.record_window(claim, file))
        level.num_kept += 1
        self._on_kept(level.level, taken.codes.size)

    def _begin_what_can(self) -> None:
        if self._keeper.is_full:
            return
        levels = [self._open(level) for level in self.song.song.levels if self._may_draw(level)]
        states = [self._state(level) for level in levels]
        for chosen in levels_to_begin(states, self._levels_at_once(levels)):
            self._begin(self._levels[chosen])

    def _levels_at_once(self, levels: Collection[LevelDrawing]) -> int:
        due_rows = next((level.num_rows for level in levels if not level.is_done), 0)
        return self._worker.lanes.num_levels_for(
            self._hold.claim.job.id, due_rows, shares_lanes=self.song.step is StepKind.NATIVE
        )

    def _may_draw(self, level: Level) -> bool:
        if level >= self._last:
            return True
        model = self._hold.claim.job.request.model
        return level in self._ahead and self._worker.engine.keeps_all_priors(model)

    def _state(self, level: LevelDrawing) -> LevelState:
        return LevelState(
            level=level.level,
            is_done=level.is_done,
            is_busy=level.is_busy,
            can_begin=any(self._has_upper(level, run) for run in level.idle_runs),
        )

    def _has_upper(self, level: LevelDrawing, run: StretchRun) -> bool:
        upper = self._upper(level)
        if upper is None or upper.is_done:
            return True
        if len(level.runs) > 1:
            return False
        total = upper.plan.total_tokens
        needed = upper_tokens_needed(self.song.config, level.level, run.next_drawn, total)
        return needed <= upper.end

    def _upper(self, level: LevelDrawing) -> LevelDrawing | None:
        return None if level.level.upper is None else self._levels[level.level.upper]

    def _begin(self, level: LevelDrawing) -> None:
        """Hand the next window of each stretch to the engine."""
        claim, upper = self._hold.claim, self._upper(level)
        for run in level.idle_runs:
            sequences = self.song.sequences(
                level.level,
                run.next_drawn,
                run.codes,
                None if upper is None else upper.codes,
                id_prefix=f"{claim.job.id}:{claim.fence}",
            )
            drawing = self._worker.engine.draw(claim.job.request.model, sequences)
            run.begin(drawing)
            drawing.wake(self._wake)

    def _open(self, level: Level) -> LevelDrawing:
        """A level with what is kept of it."""
        if level not in self._levels:
            if self._prompt is None:
                self._prompt = self._read_prompt()
            prompt = self._prompt.get(level)
            plan = self.song.plan.levels[level]
            codes = np.zeros((self.song.song.num_samples, plan.total_tokens), dtype=np.int64)
            if prompt is not None:
                codes[:, : prompt.shape[1]] = prompt
            opened = LevelDrawing(level, plan, codes, self.song.prompt_tokens.get(level, 0))
            self._read_kept(opened)
            self._hold.progress.watch(level.label, opened.progress)
            self._levels[level] = opened
        return self._levels[level]

    def _read_kept(self, level: LevelDrawing) -> None:
        """Fill in the windows that are kept and intact, of each stretch up to the first gap."""
        claim = self._hold.claim
        files = {file.start: file for file in claim.job.codes_of(level.level.label)}
        for run in level.runs:
            while not run.is_done:
                file = files.get(run.next_window.first_new)
                if file is None or not self._read_window(run, file):
                    break
                del files[file.start]
        level.num_kept = level.num_taken
        if files:
            names = [file.name for file in files.values()]
            self._hold.write(lambda: self._worker.store.forget_windows(claim, names))

    def _read_window(self, run: StretchRun, file: CodesFile) -> bool:
        if (file.end, file.run_up) != (run.next_window.end, run.run_up):
            return False
        try:
            job_id = self._hold.claim.job.id
            run.take(self._worker.artifacts.read_codes(job_id, file, with_run_up=True))
        except (ArtifactNotFound, ArtifactCorrupt, ValueError) as error:
            extra = self._extra(run.next_window)
            log.warning("a kept window cannot be used: %s", error, extra=extra)
            return False
        return True

    def _extra(self, window: Window) -> dict[str, object]:
        job = self._hold.claim.job
        return {"job_id": job.id, "stage": job.stage, "start": window.start, "end": window.end}
