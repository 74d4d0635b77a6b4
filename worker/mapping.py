"""A job as the engine takes it: the windows of its song, and its errors in words of a record."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.record.job import Job, JobError
from jobs.record.songs import PlannedSong, plan_job
from jukebox_core.config import JukeboxConfig
from jukebox_core.engine import Sequence
from jukebox_core.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    JukeboxError,
    LabelError,
    ModelNotFound,
    SongError,
)
from jukebox_core.labels import JukeboxTokenizer, Labels, window_labels
from jukebox_core.sampling.cascade import SongPlan
from jukebox_core.sampling.noise import CounterNoise, NoiseSource
from jukebox_core.sampling.windows import Window
from jukebox_core.song import Song
from jukebox_core.step_kind import StepKind
from jukebox_core.units import Level

_CODES: tuple[tuple[type[Exception], str, bool], ...] = (
    (ModelNotFound, "model_not_found", True),
    (SongError, "invalid_song", False),
    (LabelError, "invalid_labels", False),
    (ConfigError, "broken_model", False),
    (CheckpointError, "broken_model", False),
    (AudioError, "encoding_failed", True),
    (JukeboxError, "drawing_failed", True),
    (ArtifactNotFound, "artifact_lost", True),
    (ArtifactCorrupt, "artifact_lost", True),
)
"""What a known error is called in a job record, and whether the same request may work later."""

_SYSTEM_ERROR = 2
"""What libsndfile says, without a reason, when the system refused to write or to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSong:
    """A job as the library sees it: everything that is known before a code is drawn.

    `planned` is what was planned when the job was accepted. `step` says with which code it is
    drawn.
    """

    planned: PlannedSong
    labels: Labels
    noise: NoiseSource
    step: StepKind

    @property
    def config(self) -> JukeboxConfig:
        """Of the model that sings it."""
        return self.planned.config

    @property
    def song(self) -> Song:
        """What is sung."""
        return self.planned.song

    @property
    def plan(self) -> SongPlan:
        """Its windows."""
        return self.planned.plan

    @property
    def prompt_tokens(self) -> Mapping[Level, int]:
        """Codes of each level that it begins with."""
        return self.planned.prompt_tokens

    @classmethod
    def from_job(
        cls, job: Job, config: JukeboxConfig, tokenizer: JukeboxTokenizer, step: StepKind
    ) -> "JobSong":
        """Raises SongError or LabelError where the model cannot sing it after all."""
        planned = plan_job(job, config)
        song = planned.song
        return cls(
            planned=planned,
            labels=tokenizer(
                song.artist,
                song.genre,
                song.lyrics,
                artist_id=job.request.artist_id,
                genre_ids=job.request.genre_ids,
            ),
            noise=CounterNoise(song.seed),
            step=step,
        )

    def heard(self, level: Level, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes [num_samples, T] of a level without the lead-out at their end."""
        return codes[:, : self.plan.levels[level].heard_tokens]

    def sequences(
        self,
        level: Level,
        window: Window,
        codes: NDArray[np.int64],
        upper_codes: NDArray[np.int64] | None,
        *,
        id_prefix: str,
    ) -> list[Sequence]:
        """One window of every sample, for the engine.

        codes        int64 [num_samples, total_tokens], drawn up to `window.first_new`
        upper_codes  int64 [num_samples, T'] of the level above; None at the top
        """
        (song_labels,) = self.labels.for_level(level)
        vector = window_labels(
            self.config.prior(level),
            song_labels,
            total_samples=self.plan.total_samples,
            offset_samples=self.plan.offset_samples,
            start_token=window.start,
        )
        above = self._slice_above(level, window)
        return [
            Sequence(
                id=f"{id_prefix}:{level.label}:{window.start}:{sample}",
                level=level,
                labels=vector,
                prefix_codes=codes[sample, window.start : window.first_new],
                upper_codes=None if upper_codes is None else upper_codes[sample, above],
                start_token=window.start,
                num_new=window.num_new,
                sample=self.planned.first_sample + sample,
                params=self.song.sampling[level],
                noise=self.noise,
                step=self.step,
            )
            for sample in range(len(codes))
        ]

    def _slice_above(self, level: Level, window: Window) -> slice:
        start = window.start // self.config.time_base.tokens_per_upper_token(level)
        return slice(start, start + self.config.prior(level).upper_context_tokens)


def to_job_error(error: Exception) -> JobError:
    """Why a job failed, for its owner. What was not foreseen is told in the log and not here."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        message = "The worker's memory is too small for this song next to the others it sings."
        return JobError(code="out_of_memory", message=message, retryable=True)
    if _is_refused_by_disk(error):
        message = "The worker could not read or write its files."
        return JobError(code="storage_failed", message=message, retryable=True)
    for kind, code, retryable in _CODES:
        if isinstance(error, kind):
            return JobError(code=code, message=_sentence(str(error)), retryable=retryable)
    message = "Something went wrong inside the service. Its log names this job."
    return JobError(code="internal_error", message=message, retryable=True)


def _is_refused_by_disk(error: Exception) -> bool:
    if isinstance(error, AudioError):
        cause = error.__cause__
        return isinstance(cause, OSError) or getattr(cause, "code", None) == _SYSTEM_ERROR
    return isinstance(error, OSError)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
