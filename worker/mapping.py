"""A job's words as the model library's: the one border between `jobs` and `jukebox_core`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.job import Job, JobError, Stage
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
from jukebox_core.sampling.cascade import SongPlan, plan_song
from jukebox_core.sampling.noise import CounterNoise, NoiseSource
from jukebox_core.sampling.windows import Window
from jukebox_core.song import SamplingParams, Song, Speed
from jukebox_core.step_kind import StepKind
from jukebox_core.units import COARSE_TO_FINE, Level

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


def level_of(stage: Stage) -> Level:
    """The level that a stage draws. Raises ValueError for `render`."""
    return Level.from_label(stage.value)


def to_song(job: Job) -> Song:
    """What the job asks for, as the library takes it.

    Raises:
        SongError: the record was not made by this service's admission.
    """
    request = job.request
    if request.seed is None or request.song_duration_seconds is None:
        raise SongError("the stored request names no seed or no song duration", field="seed")
    return Song(
        artist=request.artist,
        genre=request.genre,
        lyrics=request.lyrics,
        duration_sec=job.duration_sec,
        song_duration_sec=request.song_duration_seconds,
        offset_sec=request.offset_seconds,
        num_samples=request.num_samples,
        seed=request.seed,
        sampling={level: _to_params(job, level) for level in COARSE_TO_FINE},
        levels=tuple(Level.from_label(name) for name in request.levels),
        speed=Speed(request.speed),
    )


def prompt_tokens_of(job: Job) -> dict[Level, int]:
    """How many codes of each level the job begins with; levels without any are left out."""
    return {
        Level.from_label(label): plan.prompt_tokens
        for label, plan in job.plan.items()
        if plan.prompt_tokens
    }


def _to_params(job: Job, level: Level) -> SamplingParams:
    sampling = getattr(job.request.sampling, level.label)
    return SamplingParams(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        hop_fraction=sampling.hop_fraction,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSong:
    """A job as the library sees it: everything that is known before a code is drawn.

    `prompt_tokens` are those of each level that the job begins with. Takes of a row that was chosen
    are numbered for the noise from that row on, as `JukeboxModel.continue_sample` does. `step` says
    with which code it is drawn.
    """

    config: JukeboxConfig
    song: Song
    plan: SongPlan
    labels: Labels
    noise: NoiseSource
    prompt_tokens: Mapping[Level, int]
    first_sample: int
    step: StepKind

    @classmethod
    def from_job(
        cls, job: Job, config: JukeboxConfig, tokenizer: JukeboxTokenizer, step: StepKind
    ) -> "JobSong":
        """Raises SongError or LabelError where the model cannot sing it after all."""
        song = to_song(job)
        prompt_tokens = prompt_tokens_of(job)
        return cls(
            config=config,
            song=song,
            plan=plan_song(config, song, prompt_tokens, lead_out=True),
            labels=tokenizer(
                song.artist,
                song.genre,
                song.lyrics,
                artist_id=job.request.artist_id,
                genre_ids=job.request.genre_ids,
            ),
            noise=CounterNoise(song.seed),
            prompt_tokens=prompt_tokens,
            first_sample=job.request.sample or 0,
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
                sample=self.first_sample + sample,
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
