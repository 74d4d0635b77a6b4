"""One level of a song while it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.record.job import LevelProgress
from jukebox_core.sampling.cascade import LevelPlan
from jukebox_core.sampling.stretches import join_stretches
from jukebox_core.units import Level
from worker.stretch_run import StretchRun


@dataclass(slots=True)
class DrawingTime:
    """What this worker has drawn of one level; windows kept by others do not count.

    While several levels of a song are drawn, each has its share of every second.
    """

    seconds: float = 0.0
    num_tokens: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all samples together, for each second that their windows took."""
        return self.num_tokens / self.seconds if self.seconds > 0.0 else 0.0


@dataclass(slots=True, eq=False)
class LevelDrawing:
    """The stretches of a level, and what it begins with.

    `begun` are codes int64 [num_samples, total_tokens], of which the first `num_prompt` are given.
    `num_kept` windows are on disk and on record.
    """

    level: Level
    plan: LevelPlan
    begun: NDArray[np.int64]
    num_prompt: int
    runs: Sequence[StretchRun] = ()
    num_kept: int = 0
    time: DrawingTime = field(default_factory=DrawingTime)
    _joined: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        self.runs = [StretchRun(stretch, self.begun.copy()) for stretch in self.plan.stretches]

    @property
    def is_done(self) -> bool:
        """All windows are drawn."""
        return all(run.is_done for run in self.runs)

    @property
    def is_busy(self) -> bool:
        """Some window is being drawn."""
        return any(run.drawing is not None for run in self.runs)

    @property
    def num_rows(self) -> int:
        """Sequences that are drawn at the same time."""
        return len(self.begun) * sum(not run.is_done for run in self.runs)

    @property
    def idle_runs(self) -> list[StretchRun]:
        """Stretches whose next window is not being drawn yet."""
        return [run for run in self.runs if not run.is_done and run.drawing is None]

    @property
    def end(self) -> int:
        """So many codes per sample, from the beginning on, will not change any more."""
        if self.is_done:
            return self.plan.total_tokens
        # Stretches become one song when all are there.
        return self.runs[0].end if len(self.runs) == 1 else self.num_prompt

    @property
    def codes(self) -> NDArray[np.int64]:
        """Codes of every sample, int64 [num_samples, total_tokens], of which `end` count."""
        if not self.runs:
            return self.begun
        if len(self.runs) == 1:
            return self.runs[0].codes
        if not self.is_done:
            return self.begun
        if self._joined is None:
            self._joined = join_stretches(self.plan.stretches, [run.codes for run in self.runs])
        return self._joined

    @property
    def num_taken(self) -> int:
        """Windows that are drawn or were there."""
        return sum(run.num_taken for run in self.runs)

    def progress(self) -> LevelProgress:
        """How far it is; asked for by other threads."""
        tokens = self.num_prompt + sum(run.num_tokens for run in self.runs)
        return LevelProgress(tokens_done=tokens, windows_done=self.num_kept)
