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
from jukebox_core.sampling.windows import Window
from jukebox_core.units import Level
from worker.engine_thread import EngineThread
from worker.hold import Hold
from worker.mapping import JobSong

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

    Windows whose files are there and intact are read; from the first that is not, everything is
    drawn (again). That gives the same codes, because a window depends only on the song and on what
    lies before it. Levels of earlier stages are mended in the same way, should their files be lost.

    `read_prompt` gives what each level begins with, int64 [num_samples, n], when it is needed; that
    is never drawn. A level with nothing to draw is read and passed.
    """

    store: JobStore
    artifacts: LocalArtifacts
    engine: EngineThread
    hold: Hold
    song: JobSong
    read_prompt: Callable[[], Mapping[Level, NDArray[np.int64]]]
    on_window_kept: Callable[[Level, int], None] = lambda _level, _num_tokens: None
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
        num_kept = self._read_kept(level, codes)
        self._report_kept(level, num_kept)
        for number, window in enumerate(plan.windows[num_kept:], start=num_kept):
            new_codes = self._draw(level, window, codes, upper)
            codes[:, window.first_new : window.end] = new_codes
            self._keep(level, window, new_codes)
            self._report_kept(level, number + 1)
        return codes

    def _read_kept(self, level: Level, codes: NDArray[np.int64]) -> int:
        """Fill in the windows that are kept and intact; returns how many there are."""
        windows = self.song.plan.levels[level].windows
        files = self.hold.claim.job.codes_of(level.label)
        for number, file in enumerate(files):
            if number == len(windows) or not self._read_window(windows[number], file, codes):
                self._forget(files[number:])
                return number
        return len(files)

    def _read_window(self, window: Window, file: CodesFile, codes: NDArray[np.int64]) -> bool:
        if (file.start, file.end) != (window.first_new, window.end):
            return False
        try:
            codes[:, file.start : file.end] = self.artifacts.read_codes(
                self.hold.claim.job.id, file
            )
        except (ArtifactNotFound, ArtifactCorrupt, ValueError) as error:
            log.warning("a kept window cannot be used: %s", error, extra=self._extra(window))
            return False
        return True

    def _forget(self, files: tuple[CodesFile, ...]) -> None:
        names = [file.name for file in files]
        self.hold.write(lambda: self.store.forget_windows(self.hold.claim, names))

    def _draw(
        self,
        level: Level,
        window: Window,
        codes: NDArray[np.int64],
        upper: NDArray[np.int64] | None,
    ) -> NDArray[np.int64]:
        claim = self.hold.claim
        sequences = self.song.sequences(
            level, window, codes, upper, id_prefix=f"{claim.job.id}:{claim.fence}"
        )
        self.hold.check()
        started = time.monotonic()
        drawing = self.engine.draw(claim.job.request.model, sequences)
        self.hold.progress.begin_window(level.label, drawing)
        self.hold.wait(self.engine, drawing)
        new_codes = drawing.codes()
        spent = self.times.setdefault(level, DrawingTime())
        spent.seconds += time.monotonic() - started
        spent.num_tokens += new_codes.size
        log.info("window drawn", extra={**self._extra(window), "level": level.label})
        return new_codes

    def _keep(self, level: Level, window: Window, codes: NDArray[np.int64]) -> None:
        claim = self.hold.claim
        file = self.artifacts.write_codes(
            claim.job.id, fence=claim.fence, level=level.label, start=window.first_new, codes=codes
        )
        self.hold.write(lambda: self.store.record_window(claim, file))
        self.on_window_kept(level, codes.size)

    def _report_kept(self, level: Level, num_windows: int) -> None:
        windows = self.song.plan.levels[level].windows
        prompt_tokens = self.song.prompt_tokens.get(level, 0)
        tokens = windows[num_windows - 1].end if num_windows else prompt_tokens
        self.hold.progress.set_kept(level.label, tokens=tokens, windows=num_windows)

    def _extra(self, window: Window) -> dict[str, object]:
        job = self.hold.claim.job
        return {"job_id": job.id, "stage": job.stage, "start": window.start, "end": window.end}
