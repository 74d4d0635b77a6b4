"""From a request to a job: everything that can be wrong with a song is found here.

What a request asks is checked against its model's configuration with the planners that the
workers use, so that nothing is refused an hour later on a GPU.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.web.errors import InvalidRequest, invalid_field
from jobs.record.bodies import SpliceBody
from jobs.record.job import Job, JobStatus, LevelProgress, Stage, new_job_id
from jobs.record.request import MAX_SECONDS, JobRequest, SplicePart
from jobs.record.sections import PlannedSection, plan_section
from jobs.record.songs import Infills, PlannedSong, complete_request, plan_request
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import LabelError, SongError
from jukebox_core.labels import JukeboxTokenizer
from jukebox_core.models.catalog import ModelCard
from jukebox_core.units import Level

_REQUEST_FIELDS: Mapping[str, str] = {
    "duration_sec": "duration_seconds",
    "song_duration_sec": "song_duration_seconds",
    "offset_sec": "offset_seconds",
    "keep_sec": "cut_seconds",
    "start_sec": "start_seconds",
    "end_sec": "end_seconds",
}
"""Fields of `Song`, and words of the planners, that requests call otherwise."""

_NAMES = re.compile(rf"\b(?:{'|'.join(_REQUEST_FIELDS)})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is there before anything is drawn.

    `kept_tokens` are codes of each level, per sample; they are drawn again only where there are
    `infills`. `duration_sec` is the whole length that is wanted, None for the request's own.
    `pointer` is the field of the request that named all this.
    """

    job_id: str = field(default_factory=new_job_id)
    kept_tokens: Mapping[Level, int] = field(default_factory=dict)
    duration_sec: float | None = None
    parent: Job | None = None
    pointer: tuple[str | int, ...] = ()
    infills: Infills = field(default_factory=dict)


def admit(
    request: JobRequest, card: ModelCard, *, now: datetime, prompt: Prompt | None = None
) -> Job:
    """A complete record, status queued, of a request that `card`'s model can sing.

    Raises:
        InvalidRequest: the model cannot; names the field at fault.
    """
    start = prompt or Prompt()
    if request.channels == 1 and request.stereo_genres is not None:
        sentence = "these are the genres of a stereo song: ask for `channels: 2`"
        raise invalid_field("body", ["stereo_genres"], sentence)
    duration_sec = start.duration_sec or request.duration_seconds or 0.0
    try:
        complete = complete_request(request, card.config, duration_sec, start.parent)
        section = None
        if complete.mode == "redo":
            section = plan_section(complete, card.config, start.kept_tokens, start.parent)
        planned = _planned(complete, card.config, duration_sec, start, section)
    except SongError as error:
        raise refusal(error, request, start.pointer) from error
    plans = planned.level_plans()
    parent = start.parent
    return Job(
        id=start.job_id,
        status=JobStatus.QUEUED,
        request=complete,
        labels=resolve_labels(complete, card),
        plan=plans,
        stage=Stage(complete.levels[0]),
        created_at=now,
        progress={
            level: LevelProgress(tokens_done=level_plan.prompt_tokens)
            for level, level_plan in plans.items()
            if level_plan.prompt_tokens
        },
        duration_sec=duration_sec,
        parent_id=parent.id if parent is not None else None,
        root_id=parent.root_id if parent is not None else "",
        parent_sample=request.sample if parent is not None else None,
        section=None if section is None else section.section,
    )


def _planned(
    request: JobRequest,
    config: JukeboxConfig,
    duration_sec: float,
    start: Prompt,
    section: PlannedSection | None,
) -> PlannedSong:
    """Raises SongError."""
    if duration_sec > MAX_SECONDS:
        raise SongError(
            f"duration_sec={duration_sec:.10g} is more than {MAX_SECONDS:g} s, the longest song",
            field="duration_sec",
        )
    planned = plan_request(
        request,
        config,
        duration_sec=duration_sec,
        prompt_tokens=start.kept_tokens,
        infills=start.infills if section is None else section.infills,
        lyrics=None if section is None else section.section.lyrics,
    )
    if not planned.has_work and request.mode != "splice":
        raise SongError(
            f"there are codes of {', '.join(request.levels)} already, and nothing to generate: "
            "ask for more levels",
            field="levels",
        )
    return planned


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
    labels: dict[str, Any] = {
        level: resolved[level] for level in request.levels if level in resolved
    }
    for channel, genre in request.channel_genres.items():
        if genre is not None:
            for level, genres in _resolve_channel(request, card.tokenizer, channel, genre).items():
                if level in labels:
                    labels[level].setdefault("stereo_genres", {})[channel] = genres
    return labels


def _resolve_channel(
    request: JobRequest, tokenizer: JukeboxTokenizer, channel: str, genre: str
) -> dict[str, Any]:
    """What a genre means to each level below the top. Raises InvalidRequest."""
    try:
        resolved = tokenizer.resolve(request.artist, genre, artist_id=request.artist_id)
    except LabelError as error:
        raise invalid_field("body", ["stereo_genres", channel], str(error)) from error
    return {level: resolved[level]["genres"] for level in resolved if level != Level.TOP.label}


def check_labels(
    giver: SpliceBody | SplicePart, card: ModelCard, pointer: tuple[str | int, ...]
) -> None:
    """Raises InvalidRequest for names and ids that a splice or a part of it cannot have."""
    if card.tokenizer is None:
        return
    try:
        card.tokenizer.resolve(
            giver.artist or "",
            giver.genre or "",
            artist_id=giver.artist_id,
            genre_ids=giver.genre_ids,
        )
    except LabelError as error:
        raise invalid_field("body", [*pointer, _label_field(str(error))], str(error)) from error


def _label_field(sentence: str) -> str:
    """Only ids and genres can be wrong: every artist's name means something."""
    named = (field for field in ("artist_id", "genre_ids") if field in sentence)
    return next(named, "genre")


def request_field(error: SongError) -> list[str]:
    """The field of a request that a planner found at fault, as its path."""
    return [_REQUEST_FIELDS.get(step, step) for step in error.field.split(".")]


def request_sentence(error: SongError) -> str:
    """What a planner found, with the names that the fields have in requests."""
    return _NAMES.sub(lambda name: _REQUEST_FIELDS[name[0]], str(error))


def refusal(
    error: SongError, request: JobRequest, pointer: tuple[str | int, ...]
) -> InvalidRequest:
    """What a planner found, in the words of the request; `pointer` named what is kept."""
    path: list[str | int] = [*request_field(error)]
    # A default cannot be at fault; what it was made from can.
    if path == ["song_duration_seconds"] and request.song_duration_seconds is None:
        path = ["duration_seconds"]
    if path == ["duration_seconds"] and request.mode in ("upsample", "redo"):
        path = ["cut_seconds"] if request.cut_seconds is not None else list(pointer)
    if path == ["duration_seconds"] and request.mode == "splice":
        path = ["parts"]
    if path == ["codes"]:
        path = list(pointer)
    sentence = request_sentence(error)
    if request.mode == "continue" and "duration_seconds=" in sentence:
        sentence += " (duration_seconds is here the whole length, what is kept included)"
    return invalid_field("body", path, sentence)
