"""From a request to a song and its plan: the one border between the service and the model library.

The API plans a song here when it accepts it, and the worker when it generates it. Seconds become
tokens here and nowhere else. No torch.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.record.job import Job, LevelPlan, Stage
from jobs.record.request import MAX_SEED, JobRequest
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import SongError
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.infill import Infill
from jukebox_core.sampling.segments import Cut
from jukebox_core.sampling.song_plan import SongPlan
from jukebox_core.song import SamplingParams, Song, Speed
from jukebox_core.units import Level

Infills = Mapping[Level, tuple[Infill, ...]]
"""What is sampled again of each level that a song begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSong:
    """A complete request in the library's words, laid out for the model of `config`.

    `prompt_tokens` are the codes of each level, per sample, that are there before anything is
    sampled; levels without any are left out. `first_sample` is the number of the first sample for
    the noise: samples of a row that was chosen are counted from that row on, as
    `JukeboxModel.continue_sample` does. What is sampled again of a prompt is in `infills`.
    """

    config: JukeboxConfig
    song: Song
    plan: SongPlan
    prompt_tokens: Mapping[Level, int]
    first_sample: int
    infills: Infills = field(default_factory=dict)

    @property
    def has_work(self) -> bool:
        """Some window of some level is left to sample."""
        return any(level.windows for level in self.plan.levels.values())

    def level_plans(self) -> dict[str, LevelPlan]:
        """What each level will cost, for the record."""
        samples_per_token = self.config.vqvae.samples_per_token
        return {
            level.label: LevelPlan(
                tokens_total=level_plan.total_tokens,
                windows_total=len(level_plan.windows),
                samples_per_token=samples_per_token[level],
                prompt_tokens=level_plan.kept_tokens,
                output_tokens=level_plan.output_tokens,
                given_tokens=self.prompt_tokens.get(level, 0),
                infills=tuple(
                    (infill.start, infill.end, infill.join_end)
                    for infill in self.infills.get(level, ())
                ),
                segments=tuple((cut.start, cut.begin) for cut in level_plan.cuts),
            )
            for level, level_plan in self.plan.levels.items()
        }


def plan_request(
    request: JobRequest,
    config: JukeboxConfig,
    *,
    duration_sec: float,
    prompt_tokens: Mapping[Level, int],
    infills: Infills | None = None,
    cuts: Mapping[Level, Sequence[Cut]] | None = None,
    lyrics: str | None = None,
) -> PlannedSong:
    """Lay out a complete request.

    Args:
        request: with seed and song duration filled in, see `complete_request`.
        config: of the model that it names.
        duration_sec: the whole length, what the song begins with included.
        prompt_tokens: codes of each level that the song begins with, per sample.
        infills: what is sampled again of them.
        cuts: where its segments begin, of a song that was planned before; see `plan_song`.
        lyrics: of the whole song, where they are not the request's.

    Raises:
        SongError: the model cannot generate it.
    """
    song = _song_of(request, duration_sec, request.lyrics if lyrics is None else lyrics)
    prompt = {level: tokens for level, tokens in prompt_tokens.items() if tokens}
    return PlannedSong(
        config=config,
        song=song,
        plan=plan_song(config, song, prompt, padded=True, infills=infills, cuts=cuts),
        prompt_tokens=prompt,
        first_sample=request.sample or 0,
        infills=infills or {},
    )


def plan_job(job: Job, config: JukeboxConfig) -> PlannedSong:
    """Lay out what a recorded job asks for, exactly as it was when the job was accepted.

    Raises:
        SongError: the model cannot generate it, or the record was not made by `plan_request`.
    """
    plans = {Level.from_label(label): plan for label, plan in job.plan.items()}
    return plan_request(
        job.request,
        config,
        duration_sec=job.duration_sec,
        prompt_tokens={
            level: plan.given_tokens if plan.infills else plan.prompt_tokens
            for level, plan in plans.items()
        },
        infills={
            level: tuple(Infill(*bounds) for bounds in plan.infills)
            for level, plan in plans.items()
            if plan.infills
        },
        cuts={level: [Cut(*each) for each in plan.segments] for level, plan in plans.items()},
        lyrics=job.lyrics,
    )


def complete_request(
    request: JobRequest, config: JukeboxConfig, duration_sec: float, parent: Job | None
) -> JobRequest:
    """The request with seed and song duration filled in. Raises SongError.

    The song of a parent stays as long as it was, unless what is generated now would not fit in.
    """
    song_duration_sec = request.song_duration_seconds
    if song_duration_sec is None:
        song_duration_sec = default_song_duration_sec(config, duration_sec, request.offset_seconds)
        if parent is not None and parent.request.song_duration_seconds is not None:
            song_duration_sec = max(song_duration_sec, parent.request.song_duration_seconds)
    seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
    return request.model_copy(update={"song_duration_seconds": song_duration_sec, "seed": seed})


def level_of(stage: Stage) -> Level:
    """The level that a stage samples. Raises ValueError for `render`."""
    return Level.from_label(stage.value)


def _song_of(request: JobRequest, duration_sec: float, lyrics: str) -> Song:
    if request.seed is None or request.song_duration_seconds is None:
        raise SongError("the request names no seed or no song duration yet", field="seed")
    return Song(
        artist=request.artist,
        genre=request.genre,
        lyrics=lyrics,
        duration_sec=duration_sec,
        song_duration_sec=request.song_duration_seconds,
        offset_sec=request.offset_seconds,
        num_samples=request.num_samples,
        seed=request.seed,
        sampling={level: _sampling_params(request, level) for level in Level},
        levels=tuple(Level.from_label(label) for label in request.levels),
        speed=Speed(request.speed),
        channels=request.channels,
    )


def _sampling_params(request: JobRequest, level: Level) -> SamplingParams:
    wanted = getattr(request.sampling, level.label)
    try:
        return SamplingParams(**wanted.model_dump())
    except SongError as error:
        raise SongError(str(error), field=f"sampling.{level.label}.{error.field}") from error
