"""Everything this package raises on purpose.

JukeboxClientError
├── InvalidAddress        the address, the key or a proxy of the environment cannot be used
├── ServiceUnreachable    no service answers at the address
├── UnexpectedAnswer      something answers, but not as this service does
├── ProblemError          the service answered with a problem document; `code` is its stable code
│   ├── InvalidRequest    400, 413, 415, 416, 422: `errors` names the fields at fault
│   ├── Unauthenticated   401: the key is missing, unknown or revoked
│   ├── PermissionDenied  403: the key lacks a scope
│   ├── NotFound          404: no such job, file, model ... for this key
│   ├── Conflict          409: the job's status forbids it
│   ├── Gone              410: it has expired, or its file is lost
│   ├── RateLimited       429: a rate limit or quota; `retry_after_sec` says when to try again
│   └── ServiceFailure    5xx
├── OutputNotFound        the job has no such audio file, or none yet
├── DownloadFailed        what arrived is not what the service announced
├── JobFailed             a job that was waited for did not succeed; `job` tells why
├── WaitTimeout           a job that was waited for has not ended in time; it goes on
└── WebhookInvalid        a webhook is not from this service, or is too old
"""

from collections.abc import Mapping
from http import HTTPStatus

from jukebox_client.models import FieldError, Job


class JukeboxClientError(Exception):
    """Base of all errors of this package."""


class InvalidAddress(JukeboxClientError, ValueError):
    """The address, the API key or a proxy of the environment cannot be used."""


class ServiceUnreachable(JukeboxClientError):
    """No service answers at the address.

    `was_sent` is false when the request cannot have arrived. The cause is the error of httpx.
    """

    def __init__(self, message: str, *, base_url: str, was_sent: bool) -> None:
        super().__init__(message)
        self.base_url, self.was_sent = base_url, was_sent


class UnexpectedAnswer(JukeboxClientError):
    """Something answers at the address, but not as this service does."""


class ProblemError(JukeboxClientError):
    """The service answered with an error (RFC 9457).

    `code` is the stable word of its problem document; empty when a proxy answered in its place.
    `errors` are the fields at fault. `retry_after_sec` is the pause it asks for before another try.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str = "",
        errors: tuple[FieldError, ...] = (),
        retry_after_sec: float = 1.0,
    ) -> None:
        faults = [f"{fault.pointer}: {fault.detail}" for fault in errors]
        super().__init__("; ".join(faults) or detail)
        self.detail, self.status, self.code = detail, status, code
        self.errors, self.retry_after_sec = errors, retry_after_sec


class InvalidRequest(ProblemError):
    """The request is invalid; `errors` names the fields at fault."""


class Unauthenticated(ProblemError):
    """The API key is missing, unknown or revoked."""


class PermissionDenied(ProblemError):
    """The API key lacks the scope that this needs."""


class NotFound(ProblemError):
    """There is no such thing for this API key."""


class Conflict(ProblemError):
    """The job's status forbids it."""


class Gone(ProblemError):
    """It has expired, or its file is lost."""


class RateLimited(ProblemError):
    """A rate limit or quota is exceeded."""


class ServiceFailure(ProblemError):
    """The service failed, is overloaded or stops; 502 to 504 may pass."""


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.FORBIDDEN: PermissionDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
    **dict.fromkeys((400, 413, 415, 416, 422), InvalidRequest),
}


def problem_class(status: int) -> type[ProblemError]:
    """The class of an HTTP status; those without one are a ProblemError."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServiceFailure
    return _BY_STATUS.get(status, ProblemError)


class OutputNotFound(JukeboxClientError, LookupError):
    """The job has no such audio file, or none yet."""


class DownloadFailed(JukeboxClientError):
    """What arrived is not what the service announced."""


class JobFailed(JukeboxClientError):
    """A job that was waited for failed, was canceled or expired."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.message} ({job.error.code})" if job.error else ""
        super().__init__(f"job {job.id} is {job.status}{reason}")
        self.job = job


class WaitTimeout(JukeboxClientError, TimeoutError):
    """A job that was waited for has not ended in time. It goes on; `job` is how it was last."""

    def __init__(self, job: Job, timeout_sec: float) -> None:
        super().__init__(f"job {job.id} is {job.status} after {timeout_sec:g} s")
        self.job = job


class WebhookInvalid(JukeboxClientError):
    """A webhook is not from this service, or is too old."""
