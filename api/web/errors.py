"""Problem documents (RFC 9457): the one shape of every answer that is not a success.

`code` is stable and meant for programs; `detail` is a sentence for people. `errors` lists what is
wrong with single fields: where it was sent (`in`), a JSON pointer inside that, and a sentence.
"""

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Send

from jobs.errors import LimitReached
from jukebox_core.disk_errors import disk_reason

PROBLEM_JSON = "application/problem+json"
UNAVAILABLE_RETRY_SEC = 5
DISK_RETRY_SEC = 60
_MAX_ERRORS = 20
_MAX_POINTER_CHARACTERS = 200


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(populate_by_name=True)

    location: Literal["body", "query", "path", "header"] = Field(
        alias="in", description="Which part of the request the pointer looks into"
    )
    pointer: str = Field(description="JSON pointer (RFC 6901), e.g. /sampling/top/hop_fraction")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 describes it. `errors` comes with status 422 only."""

    type: str = Field(examples=["urn:jukebox:problem:job_not_found"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request")
    code: str = Field(description="Stable; what a program should look at")
    errors: list[FieldError] | None = None


class ApiError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})


class InvalidRequest(ApiError):
    """The request can be read, but asks for what cannot be done (422)."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        shown = tuple(errors)[:_MAX_ERRORS]
        sentences = "; ".join(f"{error.pointer or 'body'}: {error.detail}" for error in shown[:3])
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        super().__init__(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", sentences + more, errors=shown
        )


def invalid_field(
    location: Literal["body", "query", "path", "header"], path: Sequence[str | int], detail: str
) -> InvalidRequest:
    """The 422 for one field."""
    return InvalidRequest(
        [FieldError(location=location, pointer=json_pointer(path), detail=detail)]
    )


def json_pointer(path: Sequence[str | int]) -> str:
    """`("sampling", "top")` -> `/sampling/top`, escaped as in RFC 6901, cut when absurdly long."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)[:_MAX_POINTER_CHARACTERS]


def problem_response(request: Request, error: ApiError) -> Response:
    """The answer for an error, `application/problem+json`."""
    return Response(
        problem_body(request.scope["path"], error),
        status_code=error.status,
        headers=error.headers,
        media_type=PROBLEM_JSON,
    )


def problem_body(path: str, error: ApiError) -> bytes:
    """The JSON of a problem document about a request for `path`.

    Written in ASCII: a client may have sent lone surrogates, which no UTF-8 encoder takes.
    """
    document: dict[str, Any] = {
        "type": f"urn:jukebox:problem:{error.code}",
        "title": error.status.phrase,
        "status": int(error.status),
        "detail": error.detail,
        "instance": quote(path, errors="replace"),
        "code": error.code,
    }
    if error.errors:
        document["errors"] = [entry.model_dump(by_alias=True) for entry in error.errors]
    return json.dumps(document, ensure_ascii=True).encode("ascii")


async def send_problem(send: Send, path: str, error: ApiError) -> None:
    """Answer from a middleware, before any endpoint is reached.

    What is left of the body is never read, so the connection serves no other request.
    """
    body = problem_body(path, error)
    headers = {
        "content-type": PROBLEM_JSON,
        "content-length": str(len(body)),
        "connection": "close",
        **error.headers,
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def storage_failed(error: OSError | None = None) -> ApiError:
    """The 507 for a disk that is full, or takes nothing; `error` is what the system said."""
    reason = (disk_reason(error) if error is not None else None) or "the disk is full"
    return ApiError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "storage_failed",
        f"The service cannot store this: {reason}. Try again later.",
        headers={"Retry-After": str(DISK_RETRY_SEC)},
    )


def storage_unavailable() -> ApiError:
    """The 503 for a bucket that does not answer, or refuses; the log tells the operator why."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "storage_unavailable",
        "The files of the service cannot be reached at the moment. Try again soon.",
        headers={"Retry-After": str(UNAVAILABLE_RETRY_SEC)},
    )


def store_unavailable() -> ApiError:
    """The 503 for a job store that does not answer."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store_unavailable",
        "The job store cannot be reached at the moment. Try again soon.",
        headers={"Retry-After": str(UNAVAILABLE_RETRY_SEC)},
    )


_TOO_MUCH: Mapping[str, str] = {
    "queue_full": "{limit} jobs wait already, and the queue takes no more: try again later.",
    "too_many_queued": "{limit} jobs of this API key wait already: try again when some are done.",
    "too_many_running": "{limit} jobs of this API key run already: try again when some are done.",
    "rate_limited": "This API key may ask or post {limit} times a minute: slow down a little.",
    "audio_quota_exceeded": "This API key may ask for {limit} seconds of music a day, and with "
    "this song it would be more: the next day begins at midnight, UTC.",
    "too_many_uploads": "{limit} uploads of this API key are on their way already: wait for one.",
    "too_many_streams": "{limit} streams and long polls are open already: close some, or poll.",
}


def too_much(error: LimitReached) -> ApiError:
    """The 429 for a limit of a key or of the service."""
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        error.code,
        _TOO_MUCH[error.code].format(limit=error.limit),
        headers={"Retry-After": str(math.ceil(error.retry_after_sec))},
    )
