"""Problems for what the framework found wrong with a request, in the words of JSON."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, cast

from fastapi import Request

from api.web.errors import ApiError, FieldError, InvalidRequest, json_pointer
from jobs.record.bodies import BACKWARD_MODES, MODES
from jobs.record.request import MAX_SEED, JobRequest

_SENTENCES: Mapping[str, str] = {
    "missing": "this field is required",
    "extra_forbidden": "unknown field; see /docs for the accepted fields",
    "string_unicode": "this text holds half a surrogate pair, which is no character",
    "finite_number": "NaN and infinity are not allowed",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "too_long": "must have at most {max_length} values, not {actual_length}",
    "too_short": "must have at least {min_length} values, not {actual_length}",
}
"""By pydantic's error types: JSON's words for what JSON has."""
_WHOLE_FIELDS: Mapping[str, str] = {
    "seed": f"must be a whole number from 0 to {MAX_SEED}; omit it, or send null, for a random one",
    "artist_id": 'must be a whole number from 0 on, or one for each label version, as {"v2": 7}',
    "genre_ids": "must be a list of whole numbers from 0 on, or one for each label version, as "
    '{"v2": [3, 7]}',
}
_PATTERNS: Mapping[str, str] = {
    "^job_": "must be the id of a job: job_ and 32 digits from 0 to f",
    "^asset_": "must be the id of an asset: asset_ and 32 digits from 0 to f",
    "^[a-z0-9]": "must be a name of small letters, digits, dots, dashes and underscores, as mini",
    "^https?:": "must be an http or https URL in ASCII",
}
"""By the beginning of a pattern: people do not read regular expressions."""
_MOMENTS_OF_A_SONG: Mapping[str, tuple[str, ...]] = {
    "continue": ("duration_seconds", "offset_seconds"),
    "upsample": ("offset_seconds",),
    "redo": ("start_seconds", "offset_seconds"),
    "splice": ("start_seconds", "offset_seconds"),
}
"""Fields that, when they are negative, ask for music before the song that is there."""
_LOCATIONS = ("body", "query", "path", "header")


def problem_of_validation(request: Request, errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The 400, 415 or 422 for pydantic's errors about a request."""
    errors = [_without_mode(entry) for entry in errors]
    first = errors[0]
    backwards = [entry for entry in errors if _goes_backwards(entry)]
    if backwards:
        return cannot_extend_backwards([_from_pydantic(entry) for entry in backwards])
    if first["type"] == "json_invalid":
        return ApiError(
            HTTPStatus.BAD_REQUEST,
            "malformed_json",
            f"The body is not JSON: {first['ctx']['error']} at character {first['loc'][-1]}.",
        )
    content_type = request.headers.get("content-type", "")
    if first["loc"] == ("body",) and "json" not in content_type and first["type"] != "missing":
        return ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"The body came as {content_type[:100] or 'no type at all'!r}: send JSON with the "
            "header Content-Type: application/json.",
        )
    fields = [_from_pydantic(entry) for entry in errors if not _follows(entry, errors)]
    return InvalidRequest(_once(fields))


def cannot_extend_backwards(fields: Sequence[FieldError]) -> ApiError:
    """The 422 for a song that is to go on before its beginning."""
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "cannot_extend_backwards",
        "A song cannot be extended backwards: the model generates each token from those before it, "
        "so it can only go on at the end. To put something before a song, generate it as a song of "
        'its own and join the two with "mode": "splice"; to change how a song begins, use '
        '"mode": "redo".',
        errors=fields,
    )


def _goes_backwards(entry: Mapping[str, Any]) -> bool:
    """Whether pydantic refused a mode or a moment that would lie before the song."""
    location, *path = entry["loc"]
    if location != "body":
        return False
    if entry["type"] == "union_tag_invalid":
        tag = str(entry["ctx"]["tag"]).strip("'").lower().replace("-", "_").replace(" ", "_")
        return tag in BACKWARD_MODES
    found = entry.get("input")
    is_negative = isinstance(found, int | float) and not isinstance(found, bool) and found < 0
    # A body that is a number has no path.
    return (
        is_negative and bool(path) and path[-1] in _MOMENTS_OF_A_SONG.get(entry["mode"] or "", ())
    )


def _follows(entry: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list is short only because values in it were refused, each with its own error."""
    location = entry["loc"]
    return entry["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location
        for other in errors
    )


def _without_mode(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a job is one of several, and the framework puts the one it took into the path.

    It is moved to `mode`.
    """
    location, *path = entry["loc"]
    if location == "body" and path and path[0] in MODES:
        return {**entry, "loc": (location, *path[1:]), "mode": path[0]}
    return {**entry, "mode": None}


def _once(fields: Sequence[FieldError]) -> list[FieldError]:
    """Each mistake once: a field that takes several shapes is tried as each of them."""
    return list({(field.pointer, field.detail): field for field in fields}.values())


def _from_pydantic(entry: Mapping[str, Any]) -> FieldError:
    location, *path = entry["loc"]
    if path and path[-1] == "[key]":
        # A name in an object is at fault, and the path before tells which.
        path = path[:-1]
    if entry["type"] == "union_tag_invalid":
        return _field_error(location, ["mode"], f"must be one of {', '.join(MODES)}")
    song = 2 if path[:1] == ["parts"] else 0
    if location == "body" and len(path) > song and path[song] in _WHOLE_FIELDS:
        # Where several shapes are taken, the framework names the one that it tried.
        return _field_error(location, path[: song + 1], _WHOLE_FIELDS[path[song]])
    is_field = entry["mode"] is not None and len(path) == 1 and path[0] in JobRequest.model_fields
    if entry["type"] == "extra_forbidden" and is_field:
        return _field_error(location, path, "this field is not used in this mode")
    detail = _SENTENCES.get(entry["type"], "").format_map(entry.get("ctx", {}))
    # Of objects, pydantic does not say how many values they have.
    detail = detail.removesuffix(", not None")
    if entry["type"] == "string_pattern_mismatch":
        pattern = entry["ctx"]["pattern"]
        detail = next((_PATTERNS[begin] for begin in _PATTERNS if pattern.startswith(begin)), "")
    return _field_error(location, path, detail or entry["msg"].removeprefix("Value error, "))


def _field_error(location: str, path: Sequence[str | int], detail: str) -> FieldError:
    where = cast("Literal['body', 'query', 'path', 'header']", location)
    return FieldError(
        location=where if location in _LOCATIONS else "body",
        pointer=json_pointer(path),
        detail=detail,
    )
