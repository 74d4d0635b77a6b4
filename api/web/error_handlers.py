"""Every exception that can leave an endpoint becomes a problem document here, once."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.web.errors import ApiError, problem_response, storage_failed, storage_unavailable
from api.web.jobs_errors import problem_of
from api.web.routing import allowed_methods, path_with_other_slash
from api.web.validation_errors import problem_of_validation
from jobs.errors import JobsError
from jukebox_core.disk_errors import FULL_DISK_ERRNOS
from jukebox_core.errors import BucketError

_log = logging.getLogger(__name__)


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
    problem = problem_of(error)
    if problem is None:
        return await _unexpected(request, error)
    return problem_response(request, problem)


async def _os_error(request: Request, error: OSError) -> Response:
    if isinstance(error, BucketError):
        _log.error("%s %s: %s", request.method, request.scope["path"], error)
        return problem_response(request, storage_unavailable())
    if error.errno not in FULL_DISK_ERRNOS:
        return await _unexpected(request, error)
    _log.error("the disk refuses in %s %s: %s", request.method, request.scope["path"], error)
    return problem_response(request, storage_failed(error))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    return problem_response(request, problem_of_validation(request, error.errors()))


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
            status, "route_not_found", "No endpoint has this path; /docs lists the endpoints."
        )
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(allowed_methods(request.scope))
        return ApiError(
            status,
            "method_not_allowed",
            f"This path does not support {request.method[:20]}; it supports {allowed}.",
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
    return problem_response(
        request,
        ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "An unexpected error occurred; the service's log has the details.",
        ),
    )
