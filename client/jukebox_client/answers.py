"""Reading answers of the service: documents, problems, and how long to wait."""

from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from jukebox_client.documents import Document
from jukebox_client.errors import (
    JukeboxClientError,
    ProblemError,
    ServiceUnreachable,
    UnexpectedAnswer,
    problem_class,
)
from jukebox_client.models import FieldError

AnyDocument = TypeVar("AnyDocument", bound=Document)

DEFAULT_RETRY_SEC = 1.0
_MAY_PASS = (429, 502, 503, 504)


def document_of(response: httpx.Response, kind: type[AnyDocument]) -> AnyDocument:
    """The document in an answer. Raises UnexpectedAnswer when there is something else."""
    try:
        return kind.model_validate(object_of(response))
    except ValidationError as error:
        raise UnexpectedAnswer(
            f"{response.url} answers with a {kind.__name__} that this client cannot read: {error}"
        ) from error


def object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer. Raises UnexpectedAnswer when there is something else."""
    body = _json_of(response)
    if not isinstance(body, dict):
        raise UnexpectedAnswer(f"{response.url} answers, but not as this service does")
    return body


def error_of(response: httpx.Response) -> JukeboxClientError:
    """What an answer that is no success means; its body has been read."""
    if response.is_redirect:
        place = response.headers.get("location", "another address")
        return UnexpectedAnswer(
            f"the service at this address sends clients to {place}: use that address, without the "
            "path of the request"
        )
    kind, pause_sec = problem_class(response.status_code), retry_after_sec(response)
    body = _json_of(response)
    if not isinstance(body, dict):
        reason = f"{response.status_code} {response.reason_phrase}"
        sentence = f"the service answered {reason} without a reason"
        return kind(sentence, status=response.status_code, retry_after_sec=pause_sec)
    return kind(
        str(body.get("detail") or body.get("title") or response.reason_phrase),
        status=response.status_code,
        code=str(body.get("code", "")),
        errors=_faults_of(body),
        retry_after_sec=pause_sec,
    )


def _faults_of(problem: dict[str, Any]) -> tuple[FieldError, ...]:
    """The fields at fault; none where `errors` is another server's."""
    try:
        return tuple(FieldError.model_validate(fault) for fault in problem.get("errors") or ())
    except (ValidationError, TypeError):
        return ()


def may_pass(error: JukeboxClientError) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, ProblemError):
        return error.status in _MAY_PASS
    return isinstance(error, ServiceUnreachable)


def was_heard(error: JukeboxClientError) -> bool:
    """Whether somebody was there to receive the request."""
    return not isinstance(error, ServiceUnreachable) or error.was_sent


def retry_after_sec(response: httpx.Response) -> float:
    """The pause that the service asks for, in seconds; 1 when it names none."""
    try:
        seconds = float(response.headers.get("retry-after", DEFAULT_RETRY_SEC))
    except ValueError:  # the other form is a date, which this service never sends
        seconds = DEFAULT_RETRY_SEC
    return max(seconds, 0.0)


def _json_of(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
