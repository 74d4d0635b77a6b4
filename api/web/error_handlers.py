"""Every exception that can leave an endpoint becomes a problem document here, once."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, cast
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.web.errors import (
    ApiError,
    FieldError,
    InvalidRequest,
    json_pointer,
    problem_response,
    storage_failed,
    store_unavailable,
    too_much,
)
from api.web.routing import allowed_methods, path_with_other_slash
from jobs.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    AssetNotFound,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidCursor,
    JobNotFound,
    JobsError,
    LimitReached,
    NotRetryable,
    RecordUnreadable,
    StoreUnavailable,
)
from jobs.record.bodies import MODES
from jobs.record.job import JobStatus
from jobs.record.request import MAX_SEED, JobRequest
from jukebox_core.disk_errors import FULL_DISK_ERRNOS

_log = logging.getLogger(__name__)

_SENTENCES: Mapping[str, str] = {
    "missing": "this field is required",
    "extra_forbidden": "no such field exists here; see /docs for those that do",
    "string_unicode": "this text holds half a surrogate pair, which is no character",
    "finite_number": "NaN and infinity are no numbers here",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "too_long": "must hold at most {max_length} values, not {actual_length}",
    "too_short": "must hold {min_length} values at least, not {actual_length}",
}
"""By pydantic's error types: JSON's words for what JSON has."""
_WHOLE_FIELDS: Mapping[str, str] = {
    "seed": f"must be a whole number from 0 to {MAX_SEED}; leave it out, or send null, and one is "
    "drawn",
    "artist_id": 'must be a whole number from 0 on, or one for each label version, as {"v2": 7}',
    "genre_ids": "must be a list of whole numbers from 0 on, or one for each label version, as "
    '{"v2": [3, 7]}',
}
_LOCATIONS = ("body", "query", "path", "header")


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    handlers: Mapping[type[Exception], Any] = {
        ApiError: _api_error,
        JobsError: _jobs_error,
        OSError: _os_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_exception,
        Exception: _unexpected,
    }
    for exception, handler in handlers.items():
        app.add_exception_handler(exception, handler)


async def _api_error(request: Request, error: ApiError) -> Response:
    return problem_response(request, error)


async def _jobs_error(request: Request, error: JobsError) -> Response:
    return problem_response(request, _from_jobs_error(error))


_UNREACHABLE: Mapping[type[JobsError], tuple[HTTPStatus, str, str]] = {
    JobNotFound: (
        HTTPStatus.NOT_FOUND,
        "job_not_found",
        "No job has this id: it was mistyped, deleted, or never accepted.",
    ),
    AssetNotFound: (
        HTTPStatus.NOT_FOUND,
        "asset_not_found",
        "No asset has this id: it was mistyped or deleted.",
    ),
    RecordUnreadable: (
        HTTPStatus.CONFLICT,
        "job_unreadable",
        "This job's record was written by a release that this server does not know, or is damaged: "
        "ask again once the server has been upgraded.",
    ),
}


def _from_jobs_error(error: JobsError) -> ApiError:
    match error:
        case JobNotFound() | AssetNotFound() | RecordUnreadable():
            return ApiError(*_UNREACHABLE[type(error)])
        case IllegalTransition():
            return ApiError(
                HTTPStatus.CONFLICT,
                "job_not_finished",
                f"The job is {error.status} and cannot be {error.wanted} yet: cancel it first, or "
                "wait for its end.",
            )
        case NotRetryable():
            return ApiError(
                HTTPStatus.CONFLICT, "job_not_retryable", _why_not_retryable(error.status)
            )
        case IdempotencyKeyReused():
            return _key_reused()
        case LimitReached():
            return too_much(error)
        case InvalidCursor():
            detail = "take it from next_cursor of an answer of this service, or leave it out"
            return InvalidRequest([_field_error("query", ["cursor"], detail)])
        case ArtifactNotFound() | ArtifactCorrupt():
            return ApiError(
                HTTPStatus.GONE,
                "file_gone",
                "The job's record names this file, but the file is gone or damaged.",
            )
        case StoreUnavailable():
            return store_unavailable()
        case _:
            return _internal_error()


def _why_not_retryable(status: str) -> str:
    if status == JobStatus.FAILED:
        return "The job's error says that it would fail again: change the request, and post that."
    return f"The job is {status}: only one that failed can be tried again."


def _key_reused() -> ApiError:
    detail = "this key was sent before, with another body: take a new key for a new request"
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        f"/Idempotency-Key: {detail}",
        errors=[_field_error("header", ["Idempotency-Key"], detail)],
    )


async def _os_error(request: Request, error: OSError) -> Response:
    if error.errno not in FULL_DISK_ERRNOS:
        return await _unexpected(request, error)
    _log.error("the disk refuses in %s %s: %s", request.method, request.scope["path"], error)
    return problem_response(request, storage_failed(error))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    return problem_response(request, _from_validation_error(request, error.errors()))


def _from_validation_error(request: Request, errors: Sequence[Mapping[str, Any]]) -> ApiError:
    errors = [_without_mode(entry) for entry in errors]
    first = errors[0]
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
    fields = [_from_pydantic(entry) for entry in errors]
    return InvalidRequest(_once(fields))


def _without_mode(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a job is one of several, and the framework puts the one it took into the path."""
    location, *path = entry["loc"]
    if location == "body" and path and path[0] in MODES:
        return {**entry, "loc": (location, *path[1:])}
    return entry


def _once(fields: Sequence[FieldError]) -> list[FieldError]:
    """Each mistake once: a field that takes several shapes is tried as each of them."""
    return list({(field.pointer, field.detail): field for field in fields}.values())


def _from_pydantic(entry: Mapping[str, Any]) -> FieldError:
    location, *path = entry["loc"]
    if entry["type"] == "union_tag_invalid":
        return _field_error(location, ["mode"], f"must be one of {', '.join(MODES)}")
    if location == "body" and path and path[0] in _WHOLE_FIELDS:
        return _field_error(location, path[:1], _WHOLE_FIELDS[path[0]])
    if entry["type"] == "extra_forbidden" and path[-1] in JobRequest.model_fields:
        return _field_error(location, path, "this field is of no use in this mode")
    detail = _SENTENCES.get(entry["type"], "").format_map(entry.get("ctx", {}))
    return _field_error(location, path, detail or entry["msg"].removeprefix("Value error, "))


def _field_error(location: str, path: Sequence[str | int], detail: str) -> FieldError:
    where = cast("Literal['body', 'query', 'path', 'header']", location)
    return FieldError(
        location=where if location in _LOCATIONS else "body",
        pointer=json_pointer(path),
        detail=detail,
    )


async def _http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code, headers=error.headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        path = path_with_other_slash(request.scope)
        if path is not None:
            return _redirect(request, path)
    return problem_response(request, _from_http_exception(request, error))


def _redirect(request: Request, path: str) -> Response:
    """By path alone: a proxy may have changed the scheme and the host."""
    query = request.url.query
    location = quote(path) + (f"?{query}" if query else "")
    headers = {"Location": location}
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)


def _from_http_exception(request: Request, error: HTTPException) -> ApiError:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        return ApiError(
            status, "route_not_found", "Nothing lives at this path; /docs lists what does."
        )
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(allowed_methods(request.scope))
        return ApiError(
            status,
            "method_not_allowed",
            f"This path does not take {request.method[:20]}; it takes {allowed}.",
            headers={"Allow": allowed},
        )
    if status is HTTPStatus.BAD_REQUEST:
        return _unreadable_body(error.__cause__)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    return ApiError(status, code, str(error.detail), headers=error.headers)


def _unreadable_body(cause: BaseException | None) -> ApiError:
    """What `Request.json` choked on, other than JSON's own syntax."""
    match cause:
        case UnicodeDecodeError():
            place = f"{cause.reason} at byte {cause.start}"
            code, detail = "not_utf8", f"The body is not UTF-8: {place}. Send JSON in UTF-8."
        case RecursionError():
            code, detail = "malformed_json", "The body is nested far deeper than any request."
        case ValueError():
            code, detail = "malformed_json", "The body holds a number of thousands of digits."
        case _:
            code, detail = "unreadable_body", "The body could not be read."
    return ApiError(HTTPStatus.BAD_REQUEST, code, detail)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error in %s %s", request.method, request.scope["path"], exc_info=error)
    return problem_response(request, _internal_error())


def _internal_error() -> ApiError:
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Something went wrong that nobody foresaw; the service's log says more.",
    )
