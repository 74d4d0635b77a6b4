"""From a request to a job: everything that can be wrong with a song is found here.

What a request asks is checked against its model's configuration with the planners that the
workers use, so that nothing is refused an hour later on a GPU.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.errors import InvalidRequest, invalid_field
from jobs.job import Job, JobStatus, LevelPlan, Stage, new_job_id
from jobs.request import MAX_SEED, JobRequest
from jobs.request_body import AncestralBody
from jukebox_core.catalog import ModelCard
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import LabelError, SongError
from jukebox_core.sampling.cascade import SongPlan, default_song_duration_sec, plan_song
from jukebox_core.song import SamplingParams, Song
from jukebox_core.units import Level

_REQUEST_FIELDS: Mapping[str, str] = {
    "duration_sec": "duration_seconds",
    "song_duration_sec": "song_duration_seconds",
    "offset_sec": "offset_seconds",
}
"""Fields of `Song` that requests call otherwise."""

_SECONDS = re.compile(r"(?<=_)sec\b")


def admit(request: JobRequest, card: ModelCard, *, now: datetime) -> Job:
    """A complete record, status queued, of a request that `card`'s model can sing.

    Raises:
        InvalidRequest: the model cannot; names the field at fault.
    """
    try:
        complete = complete_request(request, card.config)
        plan = plan_song(card.config, song_of(complete))
    except SongError as error:
        raise _refusal(error, request) from error
    return Job(
        id=new_job_id(),
        status=JobStatus.QUEUED,
        request=complete,
        labels=resolve_labels(complete, card),
        plan=level_plans(plan, card.config),
        stage=Stage(complete.levels[0]),
        created_at=now,
    )


def to_request(body: AncestralBody) -> JobRequest:
    """The body as the record keeps it; what is filled in at admission is missing yet."""
    given = {name: getattr(body, name) for name in AncestralBody.model_fields}
    return JobRequest(**{**given, "artist": body.artist or "", "genre": body.genre or ""})


def complete_request(request: JobRequest, config: JukeboxConfig) -> JobRequest:
    """The request with seed and song duration filled in. Raises SongError."""
    song_duration_sec = request.song_duration_seconds
    if song_duration_sec is None:
        song_duration_sec = default_song_duration_sec(
            config, request.duration_seconds or 0.0, request.offset_seconds
        )
    seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
    return request.model_copy(update={"song_duration_seconds": song_duration_sec, "seed": seed})


def song_of(request: JobRequest) -> Song:
    """A complete request in the library's words. Raises SongError."""
    return Song(
        artist=request.artist,
        genre=request.genre,
        lyrics=request.lyrics,
        duration_sec=request.duration_seconds or 0.0,
        song_duration_sec=request.song_duration_seconds or 0.0,
        offset_sec=request.offset_seconds,
        num_samples=request.num_samples,
        seed=request.seed or 0,
        sampling={level: _sampling_params(request, level) for level in Level},
        levels=tuple(Level.from_label(label) for label in request.levels),
    )


def _sampling_params(request: JobRequest, level: Level) -> SamplingParams:
    wanted = getattr(request.sampling, level.label)
    try:
        return SamplingParams(**wanted.model_dump())
    except SongError as error:
        raise SongError(str(error), field=f"sampling.{level.label}.{error.field}") from error


def level_plans(plan: SongPlan, config: JukeboxConfig) -> dict[str, LevelPlan]:
    """What each level will cost, for the record."""
    samples_per_token = config.vqvae.samples_per_token
    return {
        level.label: LevelPlan(
            tokens_total=level_plan.total_tokens,
            windows_total=len(level_plan.windows),
            samples_per_token=samples_per_token[level],
        )
        for level, level_plan in plan.levels.items()
    }


def resolve_labels(request: JobRequest, card: ModelCard) -> dict[str, Any]:
    """What artist and genre mean to each level that will be drawn; empty without labels.

    Raises:
        InvalidRequest: a name cannot be turned into ids at all (an unknown one can: id 0).
    """
    if card.tokenizer is None:
        return {}
    try:
        resolved = card.tokenizer.resolve(
            request.artist,
            request.genre,
            artist_id=request.artist_id,
            genre_ids=request.genre_ids,
        )
    except LabelError as error:
        raise invalid_field("body", [_label_field(str(error))], str(error)) from error
    return {level: resolved[level] for level in request.levels if level in resolved}


def _label_field(sentence: str) -> str:
    """Only ids and genres can be wrong: every artist's name means something."""
    named = (field for field in ("artist_id", "genre_ids") if field in sentence)
    return next(named, "genre")


def _refusal(error: SongError, request: JobRequest) -> InvalidRequest:
    path = [_REQUEST_FIELDS.get(step, step) for step in error.field.split(".")]
    # A default cannot be at fault; what it was made from can.
    if path == ["song_duration_seconds"] and request.song_duration_seconds is None:
        path = ["duration_seconds"]
    return invalid_field("body", path, _SECONDS.sub("seconds", str(error)))
