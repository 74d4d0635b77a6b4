"""What a job will take, part by part, before and while a worker works on it: numbers alone.

Tokens are weighed by the model of costs (`jukebox_core/sampling/step_cost.py`), all else by
multiplications, by what was measured on the machine where that is known. The API tells waiting
jobs by it, a worker its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from jobs.model_figures import ModelSpeed
from jobs.record.job import Job, Stage
from jobs.record.songs import PlannedSong
from jukebox_core.channels import rows_of_level
from jukebox_core.sampling.other_cost import (
    alignment_products,
    decoder_products,
    encoder_products,
)
from jukebox_core.sampling.step_cost import LevelWork, step_weights
from jukebox_core.units import Level

LOADING_STEPS = 50.0
"""Steps of one row in the time in which the weights of a prior are read from disk."""
ENCODING_SHARE = 0.02
"""Seconds in which a second of sound is written in a compressed format."""
RENDER_SHARE = 0.02
"""The last stage, as a part of the whole, where no parts are planned."""
UNMEASURED_RENDER_SHARE = 0.01
"""The last stage against the sampling, where nothing is known in seconds."""
FILES_SEC = 0.3
"""Files of a level, and the last stage of a song of which nothing is compressed."""


class PartKind(StrEnum):
    """What a job consists of besides its tokens."""

    LOADING = "loading"  # of a prior, until its first token
    PROMPT = "prompt"  # a recording that becomes codes
    LYRIC_TIMES = "lyric_times"
    SOUND = "sound"  # decoding, as far as tokens wait for it
    FILES = "files"
    RENDERING = "rendering"  # the last stage


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job, of one level or of the whole song, and what it takes.

    work      in the unit of `SongCosts`
    products  multiplications, where it is measured by these
    """

    kind: PartKind
    level: str | None
    work: float
    products: float = 0.0

    @property
    def name(self) -> str:
        """By which measurements of it are kept."""
        return self.kind if self.level is None else f"{self.kind}:{self.level}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SongCosts:
    """What a job takes, in a unit of which one takes `unit_sec` (None: nobody knows).

    levels      by what the windows of each are weighed
    tokens      what sampling each takes, by the labels of the levels
    beginnings  of these, what windows take before their first token
    parts       all else
    """

    levels: Mapping[Level, LevelWork]
    tokens: Mapping[str, float]
    beginnings: Mapping[str, float]
    parts: tuple[Part, ...]
    unit_sec: float | None

    @property
    def total_sec(self) -> float | None:
        """Of the whole job, if nothing of it is there yet."""
        if self.unit_sec is None:
            return None
        return self.unit_sec * (sum(self.tokens.values()) + sum(each.work for each in self.parts))


def song_costs(
    planned: PlannedSong, job: Job, rates: Mapping[Stage, float], speed: ModelSpeed
) -> SongCosts:
    """What the song of a job takes.

    Args:
        planned: the song.
        job: its record.
        rates: steps of one row per second of each level, measured in songs.
        speed: what else is known where it is sampled.
    """
    pricing = _Pricing(planned, rates, speed)
    levels = pricing.levels()
    plans = planned.plan.levels
    return SongCosts(
        levels=levels,
        tokens={level.label: plans[level].total_work(work) for level, work in levels.items()},
        beginnings={
            level.label: plans[level].beginning_work(work) for level, work in levels.items()
        },
        parts=tuple(pricing.parts(job, levels)),
        unit_sec=pricing.unit_sec,
    )


class _Pricing:
    """Puts prices on the parts of one song, all in one unit: seconds, or weights that are read."""

    def __init__(
        self, planned: PlannedSong, rates: Mapping[Stage, float], speed: ModelSpeed
    ) -> None:
        self._planned, self._speed = planned, speed
        config, levels = planned.config, planned.song.levels
        self._weights = {level: float(step_weights(config.prior(level))) for level in levels}
        of_songs = {
            level: 1.0 / rates[Stage(level.label)]
            for level in levels
            if rates.get(Stage(level.label))
        }
        guess = speed.weights_per_sec
        self.unit_sec: float | None = 1.0
        if of_songs.keys() == self._weights.keys():
            self._steps = of_songs
        elif all(level.label in speed.steps for level in levels):
            self._steps = {level: speed.steps[level.label][0] for level in levels}
        elif of_songs:
            # A level of which there was no song yet is to those that there were as its weights are.
            weight_sec = sum(of_songs.values()) / sum(self._weights[level] for level in of_songs)
            self._steps = {
                level: of_songs.get(level, weight_sec * weights)
                for level, weights in self._weights.items()
            }
        else:
            self._steps = self._weights
            self.unit_sec = None if guess is None else 1.0 / guess

    def levels(self) -> dict[Level, LevelWork]:
        """By what the windows of each level are weighed."""
        song = self._planned.song
        return {
            level: LevelWork(
                costs=self._speed.costs_of(
                    level,
                    self._planned.config.prior(level),
                    None if self.unit_sec is None else step * self.unit_sec,
                ),
                unit=step,
                num_rows=rows_of_level(level, song.num_samples, song.channels),
                num_segments=len(self._planned.plan.levels[level].segments),
            )
            for level, step in self._steps.items()
        }

    def parts(self, job: Job, levels: Mapping[Level, LevelWork]) -> list[Part]:
        """Everything but tokens, in the order in which it is done."""
        found = [self._prompt()] if _encodes_prompt(job) else []
        for level, work in levels.items():
            found.append(Part(PartKind.LOADING, level.label, LOADING_STEPS * work.unit))
            found.append(self._sound(job, level))
            found.append(Part(PartKind.FILES, level.label, self._of_seconds(FILES_SEC)))
            if level is Level.TOP and has_lyrics(job):
                found.append(self._lyric_times())
        sampling = sum(
            self._planned.plan.levels[level].total_work(work) for level, work in levels.items()
        )
        found.append(Part(PartKind.RENDERING, None, self._rendering(job, sampling)))
        return [each for each in found if each.work > 0.0]

    def _prompt(self) -> Part:
        tokens = self._planned.prompt_tokens
        config = self._planned.config
        products = sum(encoder_products(config, level, num) for level, num in tokens.items())
        return self._of_products(PartKind.PROMPT, None, products)

    def _sound(self, job: Job, level: Level) -> Part:
        """Of what is decoded anew: what a parent had is read from its files."""
        plan, song = self._planned.plan.levels[level], self._planned.song
        kept = plan.kept_tokens if job.parent_id is not None else 0
        num_tokens = max(plan.output_tokens - kept, 0)
        if self._speed.has_spare_core and (level is not song.levels[-1] or len(plan.segments) < 2):
            num_tokens = 0  # it is decoded beside the tokens
        products = decoder_products(self._planned.config, level, num_tokens)
        rows = rows_of_level(level, song.num_samples, song.channels)
        return self._of_products(PartKind.SOUND, level.label, rows * products)

    def _lyric_times(self) -> Part:
        num_tokens = self._planned.plan.levels[Level.TOP].output_tokens
        products = alignment_products(self._planned.config.prior(Level.TOP), num_tokens)
        takes = self._planned.song.num_samples
        if self._speed.has_spare_core and self._planned.song.levels[-1] is not Level.TOP:
            takes = 0  # meanwhile the next level is sampled
        return self._of_products(PartKind.LYRIC_TIMES, Level.TOP.label, takes * products)

    def _rendering(self, job: Job, sampling: float) -> float:
        if self.unit_sec is None:
            return UNMEASURED_RENDER_SHARE * sampling
        seconds = FILES_SEC
        if job.request.audio_format != "wav":
            seconds += ENCODING_SHARE * job.duration_sec * job.request.num_samples
        return self._of_seconds(seconds)

    def _of_seconds(self, seconds: float) -> float:
        """Nothing where nobody knows what a second is worth."""
        return 0.0 if self.unit_sec is None else seconds / self.unit_sec

    def _of_products(self, kind: PartKind, level: str | None, products: float) -> Part:
        part = Part(kind, level, 0.0, products)
        measured = self._speed.product_sec.get(part.name)
        if measured is not None and self.unit_sec is not None:
            return replace(part, work=self._of_seconds(measured * products))
        weight = sum(self._steps.values()) / sum(self._weights.values())
        return replace(part, work=weight * products / self._speed.products_of(kind))


def has_lyrics(job: Job) -> bool:
    """Whether there are words in it that could be timed."""
    return any(text.strip() for text in (job.lyrics, *(span.lyrics for span in job.spans)))


def _encodes_prompt(job: Job) -> bool:
    return job.prompt_audio_name is not None and job.prompt_codes_name is None
