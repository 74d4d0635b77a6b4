"""The HTTP client: what the service offers, as methods."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from cli.errors import ServiceProblem, ServiceUnreachable, UsageError
from cli.option_names import in_options, option_of_pointer
from cli.service.connection import open_http, unreachable
from cli.service.sse import ServerEvent, parse_events

JobView = dict[str, Any]
"""A job as the service shows it; see `docs/reference/api.md`."""

TERMINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "expired"})

_DEFAULT_RETRY_SEC = 1.0
_MAX_RETRY_SEC = 30.0
_EVENTS_READ_TIMEOUT_SEC = 45.0
"""Three missed pings of the event stream (one every 15 s)."""
_FILE_TIMEOUT_SEC = 300.0
"""The service may have to encode the file first, or to decode what it is sent."""
_PAGE_JOBS = 100


def is_over(job: JobView) -> bool:
    """Whether nothing will change about the job any more."""
    return job["status"] in TERMINAL_STATUSES


class JukeboxClient:
    """Talks to one service. Close it, or use it as a context manager.

    Every method raises ServiceUnreachable when nobody answers and ServiceProblem, with the
    service's own sentence, when the answer is an error. `patience_sec` is how long `follow` and
    `submit` bear a service that does not answer (it may be restarting). `api_key` is that of the
    environment (JUKEBOX_API_KEY) unless another is given.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_sec: float = 30.0,
        patience_sec: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.patience_sec = patience_sec
        self._sleep = sleep
        self._http = open_http(
            self.base_url,
            headers=_authorization(api_key or os.environ.get("JUKEBOX_API_KEY", "")),
            timeout_sec=timeout_sec,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def submit(self, request: Mapping[str, Any]) -> JobView:
        """Post a job; the body of `POST /jobs`. Whatever is lost on the way, it is one job.

        A lost answer and an answer that asks to come back are borne for `patience_sec`; that nobody
        listens at all is told at once.
        """
        options = {"json": dict(request), "headers": {"Idempotency-Key": str(uuid4())}}
        deadline = time.monotonic() + self.patience_sec
        has_arrived = False
        while True:
            try:
                return self._json("POST", "/jobs", **options)
            except (ServiceUnreachable, ServiceProblem) as error:
                has_arrived = has_arrived or not _was_never_heard(error)
                pause_sec = getattr(error, "retry_after_sec", _DEFAULT_RETRY_SEC)
                is_late = time.monotonic() + pause_sec > deadline
                if is_late or not has_arrived or not _may_pass(error):
                    raise
                self._sleep(pause_sec)

    def get(self, job_id: str) -> JobView:
        """The job now."""
        return self._json("GET", job_path(job_id))

    def list_jobs(
        self,
        *,
        status: str | None = None,
        root: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """One page of jobs, newest first: `data`, `has_more`, `next_cursor`."""
        wanted = {"status": status, "root": root, "limit": limit, "cursor": cursor}
        params = {name: value for name, value in wanted.items() if value is not None}
        return self._json("GET", "/jobs", params=params)

    def family(self, job_id: str) -> list[JobView]:
        """Every job that is left of the line to which a job belongs, newest first."""
        return list(self.all_jobs(root=self.get(job_id)["root_id"]))

    def all_jobs(self, *, root: str | None = None) -> Iterator[JobView]:
        """Every job, newest first; of one line if its `root` is given."""
        cursor = None
        while True:
            page = self.list_jobs(root=root, limit=_PAGE_JOBS, cursor=cursor)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def upload(self, path: Path) -> dict[str, Any]:
        """Send a sound, or codes in safetensors, to begin songs with; the answer is the asset.

        Raises OSError when the file cannot be read.
        """
        with path.open("rb") as file:
            files = {"file": (path.name, file)}
            return self._json("POST", "/assets", files=files, timeout=_FILE_TIMEOUT_SEC)

    def alignment(self, job_id: str, *, sample: int, text_format: str) -> str:
        """When each word of a take is sung, as `json`, `lrc`, `lrc-lines` or `vtt`."""
        params = {"sample": sample, "format": text_format}
        return self._send("GET", f"{job_path(job_id)}/alignment", params=params).text

    def cancel(self, job_id: str) -> JobView:
        """Ask the job to stop; harmless when it is over."""
        return self._json("POST", f"{job_path(job_id)}/cancel")

    def retry(self, job_id: str) -> JobView:
        """Queue a job that failed again; what was drawn is kept."""
        headers = {"Idempotency-Key": str(uuid4())}
        return self._json("POST", f"{job_path(job_id)}/retry", headers=headers)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, with its files."""
        self._send("DELETE", job_path(job_id))

    def set_pinned(self, job_id: str, is_pinned: bool) -> JobView:
        """Keep a job until it is unpinned, or let it expire again."""
        return self._json("POST" if is_pinned else "DELETE", f"{job_path(job_id)}/pin")

    def models(self) -> list[dict[str, Any]]:
        """The models that can sing now; the service also tells of those it could fetch."""
        models = self._json("GET", "/models")["data"]
        return [model for model in models if model.get("state", "ready") == "ready"]

    def names(self, model: str, kind: str, text: str, *, limit: int) -> list[dict[str, Any]]:
        """The `artists` or `genres` of a model that are spelt like `text`."""
        path = f"/models/{quote(model, safe='')}/{kind}"
        found: list[dict[str, Any]] = self._json("GET", path, params={"q": text, "limit": limit})[
            "data"
        ]
        return found

    def system(self) -> dict[str, Any]:
        """Workers, counts of jobs, version."""
        return self._json("GET", "/system")

    def is_alive(self) -> bool:
        """Whether the service answers, even if it does not reach its store."""
        try:
            return self._http.get("/healthz", timeout=5.0).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def is_ready(self) -> bool:
        """Whether the service answers and reaches its store."""
        try:
            return self._http.get("/readyz", timeout=5.0).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def follow(self, job_id: str) -> Iterator[JobView]:
        """Yield the job at once and after every change until it is over.

        Reads the event stream. Whenever that breaks or cannot be had, the job is fetched and the
        stream tried again after the pause that the service asks for: polling, at worst.
        """
        answered_at = time.monotonic()
        while True:
            for job in self._follow_events(job_id):
                answered_at = time.monotonic()
                yield job
                if is_over(job):
                    return
            try:
                response = self._send("GET", job_path(job_id))
            except (ServiceUnreachable, ServiceProblem) as error:
                if not _may_pass(error) or time.monotonic() - answered_at > self.patience_sec:
                    raise
                self._sleep(_DEFAULT_RETRY_SEC)
                continue
            answered_at, job = time.monotonic(), _object_of(response)
            yield job
            if is_over(job):
                return
            self._sleep(retry_after_sec(response))

    @contextmanager
    def open(
        self, method: str, path: str, *, headers: Mapping[str, str], params: Mapping[str, Any]
    ) -> Iterator[httpx.Response]:
        """Make a request and leave the body of the answer to be read in pieces."""
        request = self._http.build_request(
            method, path, headers=dict(headers), params=dict(params), timeout=_FILE_TIMEOUT_SEC
        )
        response = self._call(lambda: self._http.send(request, stream=True))
        try:
            if not response.is_success:
                response.read()
                raise problem_of(response)
            yield response
        finally:
            response.close()

    def _follow_events(self, job_id: str) -> Iterator[JobView]:
        job: JobView | None = None
        timeout = httpx.Timeout(10.0, read=_EVENTS_READ_TIMEOUT_SEC)
        try:
            with self._http.stream("GET", f"{job_path(job_id)}/events", timeout=timeout) as stream:
                media_type = stream.headers.get("content-type", "")
                if not (stream.is_success and media_type.startswith("text/event-stream")):
                    return
                for event in parse_events(stream.iter_lines()):
                    job = job_after(job, event)
                    if job is not None:
                        yield job
        except httpx.TransportError:
            # The caller asks for the job, which tells a broken stream from a service that is gone.
            return

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        return _object_of(self._send(method, path, **options))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        response = self._call(lambda: self._http.request(method, path, **options))
        if not response.is_success:
            raise problem_of(response)
        return response

    def _call(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return send()
        except httpx.TransportError as error:
            raise ServiceUnreachable(unreachable(self.base_url, error)) from error


def _may_pass(error: ServiceUnreachable | ServiceProblem) -> bool:
    return isinstance(error, ServiceUnreachable) or error.status in (429, 502, 503, 504)


def _authorization(api_key: str) -> dict[str, str]:
    """Raises UsageError for what cannot stand in a header."""
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise UsageError("JUKEBOX_API_KEY contains characters that are invalid in a key")
    return {"Authorization": f"Bearer {api_key}"}


def _was_never_heard(error: ServiceUnreachable | ServiceProblem) -> bool:
    unheard = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
    return isinstance(error.__cause__, unheard)


def job_path(job_id: str) -> str:
    """The path of a job; whatever was typed stays one path segment."""
    return f"/jobs/{quote(job_id, safe='')}"


def job_after(job: JobView | None, event: ServerEvent) -> JobView | None:
    """The job after one event of its stream; None while no snapshot has come."""
    data = json.loads(event.data)
    if event.kind == "snapshot":
        return dict(data)
    if isinstance(data.get("job"), dict):
        return dict(data["job"])
    if event.kind == "progress" and job is not None:
        eta_sec = data.pop("eta_seconds", job.get("eta_seconds"))
        return {
            **job,
            "eta_seconds": eta_sec,
            "progress": _merged_progress(job["progress"], data),
        }
    return job


def _merged_progress(progress: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
    changes = news.get("levels") or {}
    if not isinstance(changes, Mapping):
        changes = {level["level"]: level for level in changes}
    levels = [{**level, **changes.get(level["level"], {})} for level in progress["levels"]]
    return {**progress, **news, "levels": levels}


def retry_after_sec(response: httpx.Response) -> float:
    """The pause that the service asks for, in seconds; 1 when it names none."""
    try:
        seconds = float(response.headers.get("retry-after", _DEFAULT_RETRY_SEC))
    except ValueError:  # the other form is a date, which this service never sends
        seconds = _DEFAULT_RETRY_SEC
    return min(max(seconds, 0.0), _MAX_RETRY_SEC)


def _object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer. Raises ServiceProblem when there is something else."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    raise ServiceProblem(
        f"{response.url} answers, but not as this service does: check --url and JUKEBOX_URL",
        status=response.status_code,
        code="",
    )


def problem_of(response: httpx.Response) -> ServiceProblem:
    """The sentence of a problem document (RFC 9457), with the options at fault one per line."""
    if response.is_redirect:
        place = response.headers.get("location", "another address")
        return ServiceProblem(
            f"the service at this address sends clients to {place}: give --url that one, without "
            "the path of the request",
            status=response.status_code,
            code="",
        )
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        reason = f"{response.status_code} {response.reason_phrase}"
        return ServiceProblem(
            f"the service answered {reason} without a reason",
            status=response.status_code,
            code="",
            retry_after_sec=retry_after_sec(response),
        )
    faults = [
        f"  {option_of_pointer(str(fault.get('pointer')))}: {in_options(str(fault.get('detail')))}"
        for fault in body.get("errors", ())
    ]
    sentence = in_options(str(body.get("detail") or body.get("title") or response.reason_phrase))
    return ServiceProblem(
        "\n".join(["the service refuses this:", *faults]) if faults else sentence,
        status=response.status_code,
        code=str(body.get("code", "")),
        retry_after_sec=retry_after_sec(response),
    )
