"""A job as this worker generates it: its plan, its labels, and who computes its tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.record.job import Job, JobSection, SongSpan
from jobs.record.songs import PlannedSong, plan_job
from jobs.record.spans import request_span
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.engine.song_run import SongInputs
from jukebox_core.labels import JukeboxTokenizer, Labels, SongLabels
from jukebox_core.sampling.label_spans import LabelSpan, make_span
from jukebox_core.sampling.noise import CounterNoise, NoiseSource, SectionNoise
from jukebox_core.sampling.song_plan import SongPlan
from jukebox_core.song import Song
from jukebox_core.units import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSong:
    """Everything about the song of a job that is known before a code is sampled."""

    planned: PlannedSong
    labels: Labels
    backend: str
    weights: Weights
    channels: tuple[tuple[SongLabels, ...], ...]
    """What the levels read in each channel; one for all where they read the same."""
    spans: tuple[LabelSpan, ...] = ()
    section: JobSection | None = None

    @classmethod
    def from_job(
        cls,
        job: Job,
        config: JukeboxConfig,
        tokenizer: JukeboxTokenizer,
        backend: str,
        weights: Weights,
    ) -> "JobSong":
        """Raises SongError or LabelError where the model cannot generate it after all."""
        planned = plan_job(job, config)
        whole = request_span(job, position_sec=0.0)
        return cls(
            planned=planned,
            labels=_labels(whole, tokenizer),
            backend=backend,
            weights=weights,
            channels=_channel_labels(whole, tokenizer, planned.song.channels),
            spans=tuple(
                _label_span(span, config, tokenizer, planned.song.channels) for span in job.spans
            ),
            section=job.section,
        )

    @property
    def config(self) -> JukeboxConfig:
        """Of the model that generates it."""
        return self.planned.config

    @property
    def song(self) -> Song:
        """What is asked for."""
        return self.planned.song

    @property
    def plan(self) -> SongPlan:
        """Its windows."""
        return self.planned.plan

    @property
    def prompt_tokens(self) -> Mapping[Level, int]:
        """Codes of each level that it begins with."""
        return self.planned.prompt_tokens

    def inputs(self, song_id: str) -> SongInputs:
        """The song for the engine, with sequences whose ids begin with `song_id`."""
        return SongInputs(
            id=song_id,
            config=self.config,
            plan=self.plan,
            sampling=self.song.sampling,
            labels=[
                self.channels[channel % len(self.channels)]
                for channel in range(self.song.channels)
                for _ in range(self.song.num_samples)
            ],
            num_channels=self.song.channels,
            noise=self._noise(),
            spans=self.spans,
            first_sample=self.planned.first_sample,
            backend=self.backend,
        )

    def _noise(self) -> NoiseSource:
        """Around a section of a song whose noise is known it is that one."""
        noise = CounterNoise(self.song.seed)
        if self.section is None or self.section.noise_seed is None:
            return noise
        (top,) = self.planned.infills[Level.TOP]
        return SectionNoise(
            noise,
            CounterNoise(self.section.noise_seed),
            section=(top.start, top.end),
            levels=self.prompt_tokens,
            old_samples=self.section.noise_samples,
            first_sample=self.planned.first_sample,
        )

    def heard(self, level: Level, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes [rows, T] of a level without the padding at their end."""
        return codes[:, : self.plan.levels[level].output_tokens]


def _labels(span: SongSpan, tokenizer: JukeboxTokenizer, genre: str | None = None) -> Labels:
    """What a span is sung as, or with another genre. Raises LabelError."""
    return tokenizer(
        span.artist,
        span.genre if genre is None else genre,
        span.lyrics,
        artist_id=span.artist_id,
        genre_ids=span.genre_ids if genre is None else None,
        # Cleaned when it came in; jobs of older releases are sung as those sang them.
        lyrics_format="verbatim",
    )


def _channel_labels(
    span: SongSpan, tokenizer: JukeboxTokenizer, num_channels: int
) -> tuple[tuple[SongLabels, ...], ...]:
    """What all channels of a span read, or each one of them. Raises LabelError."""
    genres = (span.left_genre, span.right_genre)
    (song,) = _labels(span, tokenizer).songs
    if num_channels == 1 or genres == (None, None):
        return (song,)
    return tuple(
        song if genre is None else (song[0], *_labels(span, tokenizer, genre).songs[0][1:])
        for genre in genres
    )


def _label_span(
    span: SongSpan, config: JukeboxConfig, tokenizer: JukeboxTokenizer, num_channels: int
) -> LabelSpan:
    """Raises LabelError."""
    return make_span(
        config,
        _channel_labels(span, tokenizer, num_channels),
        start_samples=config.time_base.seconds_to_samples(span.position_sec),
        song_duration_sec=span.song_duration_sec,
        offset_sec=span.offset_sec,
    )
