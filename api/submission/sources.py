"""What a song goes on from: a job's codes, or codes that were sent; chosen, cut, and checked.

Nothing is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.dependencies import Services
from api.submission.policy import are_codes_expired
from api.web.callers import Caller
from api.web.errors import InvalidRequest, invalid_field
from jobs.errors import AssetNotFound, JobNotFound
from jobs.files.assets import Asset, AssetKind
from jobs.files.codes import kept_codes
from jobs.files.stored_codes import StoredCodes, open_codes_file
from jobs.record.bodies import AncestralBody, FromCodesBody, PrimedBody
from jobs.record.job import Job
from jobs.record.request import LEVEL_NAMES, JobRequest, LevelName, StereoGenres
from jobs.record.sections import UNSUNG
from jobs.record.spans import span_at
from jukebox_core.channels import channels_of_rows
from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import LabelError, SongError
from jukebox_core.labels import read_lyrics
from jukebox_core.sampling.kept import cut_tokens
from jukebox_core.units import COARSE_TO_FINE, Level

Codes = Mapping[Level, StoredCodes]
Pointer = tuple[str | int, ...]

_ASSET: Pointer = ("prompt", "asset_id")

_INHERITED = (
    "model",
    "artist",
    "genre",
    "artist_id",
    "genre_ids",
    "lyrics",
    "offset_seconds",
    "sampling",
    "channels",
    "stereo_genres",
)
_SUNG = JobRequest.model_fields.keys()
"""Not what people write on the job, which is kept beside the request."""
_OF_SPANS = ("artist", "genre", "artist_id", "genre_ids", "lyrics")
_NAMES_AND_IDS = (("artist", "artist_id"), ("genre", "genre_ids"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Codes to go on from, [songs, T] of each level that is there, coarsest first; on disk.

    `pointer` is the field of the request that named them; `model` the model they belong to, where
    that is known.
    """

    codes: Codes
    pointer: Pointer
    model: str | None
    parent: Job | None = None


def origin_of(services: Services, caller: Caller, body: FromCodesBody) -> Origin:
    """The codes that a body names. Raises InvalidRequest when there are none to go on from."""
    if body.parent_id is not None:
        return origin_of_job(services, caller, body.parent_id)
    asset_id = body.prompt.asset_id if body.prompt is not None else ""
    return origin_of_asset(services, caller, asset_id)


def origin_of_asset(
    services: Services, caller: Caller, asset_id: str, pointer: Pointer = _ASSET
) -> Origin:
    """The codes that were sent. Raises InvalidRequest."""
    asset = asset_of(services, caller, asset_id, "codes", pointer)
    try:
        codes, _ = open_codes_file(services.assets.path(asset))
    except (AssetNotFound, OSError, ValueError) as error:
        raise _no_asset(pointer) from error
    return Origin(codes=_by_level(codes), pointer=pointer, model=asset.model)


def origin_of_job(
    services: Services, caller: Caller, job_id: str, pointer: Pointer = ("parent_id",)
) -> Origin:
    """The codes of a job that has ended. Raises InvalidRequest."""
    try:
        job = services.store.get(job_id, with_windows=True)
        if not caller.may_see(job.owner):
            raise JobNotFound(job_id)
        if job.deleted_at is not None:
            sentence = "this job is in the trash: restore it before you start from it"
            raise invalid_field("body", [*pointer], sentence)
    except JobNotFound as error:
        sentence = "no job has this id: it was mistyped or deleted"
        raise invalid_field("body", pointer, sentence) from error
    if not job.is_terminal:
        sentence = (
            f"the job is {job.status}: wait until it ends, or cancel it, before you start from it"
        )
        raise invalid_field("body", pointer, sentence)
    codes = kept_codes(services.artifacts, job)
    if not codes:
        sentence = f"the job is {job.status} and has no codes of the top level to start from"
        if are_codes_expired(job):
            sentence = "its codes have expired, so no job can start from it"
        raise invalid_field("body", pointer, sentence)
    return Origin(codes=_by_level(codes), pointer=pointer, model=job.request.model, parent=job)


def asset_of(
    services: Services, caller: Caller, asset_id: str, kind: AssetKind, pointer: Pointer = _ASSET
) -> Asset:
    """An asset of this kind. Raises InvalidRequest."""
    try:
        asset = services.assets.get(asset_id)
        if not caller.may_see(asset.owner):
            raise AssetNotFound(asset_id)
    except AssetNotFound as error:
        raise _no_asset(pointer) from error
    if asset.kind != kind:
        wanted = {"audio": "a sound", "codes": "codes"}[kind]
        sentence = f"this asset is {asset.kind}, and this mode requires {wanted}"
        raise invalid_field("body", pointer, sentence)
    return asset


def _no_asset(pointer: Pointer) -> InvalidRequest:
    sentence = "no asset has this id: it was mistyped or deleted"
    return invalid_field("body", pointer, sentence)


def _by_level(codes: Mapping[str, StoredCodes]) -> dict[Level, StoredCodes]:
    return {level: codes[level.label] for level in COARSE_TO_FINE if level.label in codes}


def request_of(body: AncestralBody | PrimedBody) -> JobRequest:
    """The body as the record keeps it; what is filled in at admission is missing yet."""
    given = {name: getattr(body, name) for name in type(body).model_fields.keys() & _SUNG}
    names = {"artist": body.artist or "", "genre": body.genre or ""}
    return JobRequest(**{**given, **names, **sung_lyrics(given)})


def sung_lyrics(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`lyrics` without what `lyrics_format` leaves out. Raises InvalidRequest."""
    try:
        read = read_lyrics(fields.get("lyrics", ""), fields.get("lyrics_format", "auto"))
    except LabelError as error:
        raise invalid_field("body", ["lyrics"], str(error)) from error
    return {"lyrics": read.text, "lyrics_format": "plain"}


def inherited_request(body: FromCodesBody, origin: Origin) -> JobRequest:
    """The body as the record keeps it; what it leaves out is the parent's.

    Raises:
        InvalidRequest: it asks for another model, lacks what no parent gives, or takes a row that
            is not there.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set & _SUNG}
    given = {name: value for name, value in given.items() if value is not None}
    inherited = _inheritance(given, origin)
    _check_complete({**inherited, **given})
    if origin.model not in (None, given.get("model", origin.model)):
        sentence = f"the codes belong to {origin.model}, and only that model can use them"
        raise invalid_field("body", ["model"], sentence)
    fields = {**inherited, **given}
    if "lyrics" in given or "lyrics_format" in given:
        # What is inherited as it is has been read already.
        fields |= sung_lyrics(fields)
    if body.mode == "redo" and body.lyrics and not fields["lyrics"].strip():
        fields["lyrics"] = UNSUNG
    request = JobRequest(**fields)
    return request.model_copy(update={"num_samples": _num_samples(body, origin)})


def _inheritance(given: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    parent = origin.parent
    levels = LEVEL_NAMES if given["mode"] == "upsample" else _levels_of(origin)
    if parent is None:
        # An id stands in for the name, as it does where there is no parent at all.
        empty = {name: "" for name, ids in _NAMES_AND_IDS if ids in given}
        return {**empty, "levels": levels, "channels": _channels_of(origin.codes)}
    inherited = {name: getattr(parent.request, name) for name in _INHERITED}
    if parent.spans and given["mode"] == "continue":
        # What is added to a song of several parts goes on from the last one.
        last = span_at(parent.spans, given.get("cut_seconds", parent.duration_sec))
        inherited |= {name: getattr(last, name) for name in _OF_SPANS}
        inherited["stereo_genres"] = StereoGenres(left=last.left_genre, right=last.right_genre)
    if given["mode"] == "redo":
        # Those of a redo are of its section.
        inherited["lyrics"] = ""
    elif parent.section is not None or not parent.spans:
        inherited["lyrics"] = parent.lyrics
    if given.get("channels") == 1 or "genre" in given or "genre_ids" in given:
        # Mono has no sides, and another genre is meant for both of them.
        del inherited["stereo_genres"]
    for name, ids in _NAMES_AND_IDS:
        if name in given:
            del inherited[ids]
        elif ids in given and not isinstance(given[ids], dict):
            inherited[name] = ""
    return {**inherited, "levels": levels}


def _channels_of(codes: Codes) -> int:
    finest = list(codes.values())[-1]
    return channels_of_rows(len(finest), len(codes[Level.TOP]))


def _levels_of(origin: Origin) -> tuple[LevelName, ...]:
    if origin.parent is not None:
        return origin.parent.request.levels
    return LEVEL_NAMES[: len(origin.codes)]


def _check_complete(fields: Mapping[str, Any]) -> None:
    for name in ("model", "artist", "genre"):
        if name not in fields:
            sentence = "this field is required with uploaded codes"
            raise invalid_field("body", [name], sentence)


def _num_samples(body: FromCodesBody, origin: Origin) -> int:
    """One song may become several; several stay as many as they are. Raises InvalidRequest."""
    num_rows = len(origin.codes[Level.TOP])
    if body.sample is not None and body.sample >= num_rows:
        sentence = f"the parent has {num_rows} take{'s' * (num_rows != 1)}, numbered from 0"
        raise invalid_field("body", ["sample"], sentence)
    if body.sample is not None or num_rows == 1:
        return body.num_samples
    if "num_samples" in body.model_fields_set and body.num_samples != num_rows:
        sentence = f"all {num_rows} takes are processed separately: select one with `sample`, "
        raise invalid_field("body", ["num_samples"], sentence + "or omit this field")
    return num_rows


def cut_codes(origin: Origin, request: JobRequest, config: JukeboxConfig) -> Codes:
    """What of the codes is kept, of 1 or `num_samples` takes: [rows, T] of the levels asked for.

    They are still on disk. A mono song keeps the left channel of a stereo one.

    Raises:
        SongError: the cut lies beyond the end (`keep_sec`), or the codes are none of this model
            (`codes`).
    """
    num_takes = len(origin.codes[Level.TOP])
    chosen = {
        level: codes if request.channels > 1 else codes.select(slice(num_takes))
        for level, codes in origin.codes.items()
    }
    if request.sample is not None:
        take = slice(request.sample, None, num_takes)
        chosen = {level: codes.select(take) for level, codes in chosen.items()}
    check_range(chosen, config)
    num_tokens = {level: codes.shape[1] for level, codes in chosen.items()}
    kept = cut_tokens(config.time_base, num_tokens, request.cut_seconds)
    return {
        level: chosen[level].first_tokens(length)
        for level, length in kept.items()
        if level.label in request.levels and length
    }


def check_range(codes: Codes, config: JukeboxConfig) -> None:
    """Raises SongError for codes that the model does not have (`codes`)."""
    num_codes = config.vqvae.num_codes
    for level, rows in codes.items():
        largest = rows.largest()
        if largest >= num_codes:
            raise SongError(
                f"{level.label} holds the code {largest}, and this model has {num_codes}",
                field="codes",
            )
