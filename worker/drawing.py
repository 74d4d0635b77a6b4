"""Drawing one level of a job, window by window, and keeping every window as soon as it is drawn."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.artifacts import LocalArtifacts
from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.job import CodesFile
from jobs.store import JobStore
from jukebox_core.sampling.stretches import join_stretches
from jukebox_core.sampling.windows import Window
from jukebox_core.units import Level
from worker.engine_thread import EngineThread
from worker.hold import Hold
from worker.mapping import JobSong
from worker.stretch_run import StretchRun

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DrawingTime:
    """What this worker has drawn of one level in this task; windows kept earlier do not count."""

    seconds: float = 0.0
    num_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all samples together, for each second that their windows took."""
        return self.num_tokens / self.seconds if self.seconds > 0.0 else 0.0


@dataclass(slots=True, kw_only=True)
class LevelDrawer:
    """Brings levels of one claimed job to their end, the coarsest first.

    Windows whose files are there and intact are read; from the first that is not, everything of its
    stretch is drawn (again). That gives the same codes, because a window depends only on the song
    and on what its stretch has before it. Levels of earlier stages are mended in the same way,
    should their files be lost.

    `read_prompt` gives what each level begins with, int64 [num_samples, n], when it is needed; that
    is never drawn. A level with nothing to draw is read and passed.

    `on_codes` hears of the codes of a level, int64 [num_samples, total_tokens], and how many of
    them are final by now; of a level in stretches it hears nothing, since these are joined last.
    """

    store: JobStore
    artifacts: LocalArtifacts
    engine: EngineThread
    hold: Hold
    song: JobSong
    read_prompt: Callable[[], Mapping[Level, NDArray[np.int64]]]
    on_window_kept: Callable[[Level, int], None] = lambda _level, _num_tokens: None
    on_codes: Callable[[Level, NDArray[np.int64], int], None] = lambda _level, _codes, _num: None
    times: dict[Level, DrawingTime] = field(default_factory=dict)

    def codes_through(self, last: Level) -> dict[Level, NDArray[np.int64]]:
        """Codes of every level down to `last`: int64 [num_samples, total_tokens] each.

        They end with the lead-out, if the plan has any.

        Raises what `Hold.check` raises, and what stopped a drawing.
        """
        prompt = self.read_prompt()
        codes: dict[Level, NDArray[np.int64]] = {}
        for level in self.song.song.levels:
            upper = None if level.upper is None else codes[level.upper]
            codes[level] = self._complete(level, prompt.get(level), upper)
            if level is last:
                break
        return codes

    def _complete(
        self, level: Level, prompt: NDArray[np.int64] | None, upper: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        plan = self.song.plan.levels[level]
        codes = np.zeros((self.song.song.num_samples, plan.total_tokens), dtype=np.int64)
        if prompt is not None:
            codes[:, : prompt.shape[1]] = prompt
        runs = [StretchRun(stretch, codes.copy()) for stretch in plan.stretches]
        self._read_kept(level, runs)
        self._report_kept(level, runs)
        if any(not run.is_done for run in runs):
            self._draw(level, runs, upper)
            self._report_kept(level, runs)
        if not runs:
            return codes
        return join_stretches(plan.stretches, [run.codes for run in runs])

    def _read_kept(self, level: Level, runs: list[StretchRun]) -> None:
        """Fill in the windows that are kept and intact, of each stretch up to the first gap."""
        files = {file.start: file for file in self.hold.claim.job.codes_of(level.label)}
        for run in runs:
            while not run.is_done:
                file = files.get(run.next_window.first_new)
                if file is None or not self._read_window(run, file):
                    break
                del files[file.start]
        if files:
            names = [file.name for file in files.values()]
            self.hold.write(lambda: self.store.forget_windows(self.hold.claim, names))

    def _read_window(self, run: StretchRun, file: CodesFile) -> bool:
        if (file.end, file.run_up) != (run.next_window.end, run.run_up):
            return False
        try:
            codes = self.artifacts.read_codes(self.hold.claim.job.id, file, with_run_up=True)
            run.take(codes)
        except (ArtifactNotFound, ArtifactCorrupt, ValueError) as error:
            extra = self._extra(run.next_window)
            log.warning("a kept window cannot be used: %s", error, extra=extra)
            return False
        return True

    def _draw(self, level: Level, runs: list[StretchRun], upper: NDArray[np.int64] | None) -> None:
        """Draw what the stretches lack: each goes on by itself, window after window."""
        started = time.monotonic()
        num_kept = sum(run.num_tokens for run in runs)
        self.hold.check()
        try:
            for run in runs:
                self._begin(level, run, upper)
            self._report_drawing(level, runs)
            while active := [run for run in runs if run.drawing is not None]:
                self._finish_one(level, active, upper)
                if len(runs) == 1:
                    self.on_codes(level, runs[0].codes, runs[0].num_final)
                self.hold.progress.keep_windows(level.label, sum(run.num_taken for run in runs))
        finally:
            for run in runs:
                if run.drawing is not None:
                    self.engine.cancel(run.drawing)
        spent = self.times.setdefault(level, DrawingTime())
        spent.seconds += time.monotonic() - started
        num_tokens = sum(run.num_tokens for run in runs) - num_kept
        spent.num_tokens += num_tokens * self.song.song.num_samples

    def _begin(self, level: Level, run: StretchRun, upper: NDArray[np.int64] | None) -> None:
        """Hand the next window of a stretch to the engine, if there is one."""
        if run.is_done:
            return
        claim = self.hold.claim
        sequences = self.song.sequences(
            level, run.next_drawn, run.codes, upper, id_prefix=f"{claim.job.id}:{claim.fence}"
        )
        run.drawing = self.engine.draw(claim.job.request.model, sequences)

    def _finish_one(
        self, level: Level, active: list[StretchRun], upper: NDArray[np.int64] | None
    ) -> None:
        """Wait for one window, let its stretch go on, and keep what was drawn meanwhile."""
        drawings = [run.drawing for run in active if run.drawing is not None]
        run = active[self.hold.wait_for_any(drawings)]
        window, run_up, drawing = run.next_window, run.run_up, run.drawing
        if drawing is None:
            return
        run.drawing = None
        new_codes = drawing.codes()
        run.take(new_codes)
        log.info("window drawn", extra={**self._extra(window), "level": level.label})
        self._begin(level, run, upper)
        self._keep(level, window, new_codes, run_up)

    def _keep(self, level: Level, window: Window, codes: NDArray[np.int64], run_up: int) -> None:
        claim = self.hold.claim
        file = self.artifacts.write_codes(
            claim.job.id,
            fence=claim.fence,
            level=level.label,
            start=window.first_new,
            codes=codes,
            run_up=run_up,
        )
        self.hold.write(lambda: self.store.record_window(claim, file))
        self.on_window_kept(level, codes.size)

    def _report_kept(self, level: Level, runs: list[StretchRun]) -> None:
        tokens = self.song.prompt_tokens.get(level, 0) + sum(run.num_tokens for run in runs)
        windows = sum(run.num_taken for run in runs)
        self.hold.progress.set_kept(level.label, tokens=tokens, windows=windows)

    def _report_drawing(self, level: Level, runs: list[StretchRun]) -> None:
        given = self.song.prompt_tokens.get(level, 0)

        def count_tokens() -> int:
            return given + sum(run.num_tokens + run.num_under_way for run in runs)

        self.hold.progress.begin_windows(level.label, count_tokens)

    def _extra(self, window: Window) -> dict[str, object]:
        job = self.hold.claim.job
        return {"job_id": job.id, "stage": job.stage, "start": window.start, "end": window.end}
