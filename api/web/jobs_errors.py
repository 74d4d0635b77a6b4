"""Problem documents for errors of the domain."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from api.web.errors import ApiError, FieldError, invalid_field, store_unavailable, too_much
from jobs.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    AssetNotFound,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidCursor,
    JobInTrash,
    JobNotFound,
    JobsError,
    LimitReached,
    NotRetryable,
    RecordUnreadable,
    StoreUnavailable,
)
from jobs.record.job import JobStatus


def problem_of(error: JobsError) -> ApiError | None:
    """The problem for an error of the domain; None for one that no client should cause."""
    make = next((_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS), None)
    return None if make is None else make(error)


def _not_finished(error: IllegalTransition) -> ApiError:
    return ApiError(
        HTTPStatus.CONFLICT,
        "job_not_finished",
        f"The job is {error.status} and cannot be {error.wanted} yet: cancel it first, or "
        "wait for its end.",
    )


def _not_retryable(error: NotRetryable) -> ApiError:
    detail = f"The job is {error.status}: only a failed job can be retried."
    if error.status == JobStatus.FAILED:
        detail = "The job's error is not retryable: change the request and create a new job."
    return ApiError(HTTPStatus.CONFLICT, "job_not_retryable", detail)


def _in_trash(error: JobInTrash) -> ApiError:
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "job_in_trash",
        f"This job was deleted. Until {error.until:%Y-%m-%dT%H:%M:%SZ} it can be restored with "
        f"POST /jobs/{error.job_id}/restore.",
    )


def _key_reused(_: IdempotencyKeyReused) -> ApiError:
    detail = "this key was already used with a different body: use a new key for a new request"
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        f"/Idempotency-Key: {detail}",
        errors=[FieldError(location="header", pointer="/Idempotency-Key", detail=detail)],
    )


def _always(status: HTTPStatus, code: str, detail: str) -> Callable[[Any], ApiError]:
    return lambda _: ApiError(status, code, detail)


_file_gone = _always(
    HTTPStatus.GONE,
    "file_gone",
    "The job's record names this file, but the file is gone or damaged.",
)
_PROBLEMS: Mapping[type, Callable[[Any], ApiError]] = {
    JobNotFound: _always(
        HTTPStatus.NOT_FOUND,
        "job_not_found",
        "No job has this id: it was mistyped, deleted, or never accepted.",
    ),
    JobInTrash: _in_trash,
    AssetNotFound: _always(
        HTTPStatus.NOT_FOUND,
        "asset_not_found",
        "No asset has this id: it was mistyped or deleted.",
    ),
    RecordUnreadable: _always(
        HTTPStatus.CONFLICT,
        "job_unreadable",
        "This job's record was written by a release that this server does not know, or is damaged: "
        "ask again once the server has been upgraded.",
    ),
    IllegalTransition: _not_finished,
    NotRetryable: _not_retryable,
    IdempotencyKeyReused: _key_reused,
    LimitReached: too_much,
    InvalidCursor: lambda _: invalid_field(
        "query",
        ["cursor"],
        "use `next_cursor` of a response of this service, or omit it",
    ),
    ArtifactNotFound: _file_gone,
    ArtifactCorrupt: _file_gone,
    StoreUnavailable: lambda _: store_unavailable(),
}
