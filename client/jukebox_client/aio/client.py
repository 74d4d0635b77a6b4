"""What the service offers, as methods named like the operations of its OpenAPI document."""

import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Unpack

import httpx

from jukebox_client.aio.files import AsyncFiles
from jukebox_client.aio.transport import present
from jukebox_client.answers import (
    DEFAULT_RETRY_SEC,
    document_of,
    may_pass,
    object_of,
    retry_after_sec,
)
from jukebox_client.errors import JobFailed, JukeboxClientError, WaitTimeout
from jukebox_client.events import EventParser, JobEvent, is_over, job_after
from jukebox_client.models import (
    Health,
    Job,
    JobBody,
    JobChanges,
    JobFields,
    JobList,
    ListJobsQuery,
    Lyrics,
    LyricsQuery,
    ModelList,
    NameList,
    Session,
    SystemStatus,
    WebhookSecret,
)
from jukebox_client.paths import path_of

_PAGE_JOBS = 100
_MAX_POLL_SEC = 30.0
_HEALTH_TIMEOUT_SEC = 5.0


class AsyncJukeboxClient(AsyncFiles):
    """Talks to one service. Close it, or use it as a context manager.

    `base_url` and `api_key` are those of the environment (JUKEBOX_URL, JUKEBOX_API_KEY) unless
    given. `timeout_sec` is how long one answer may take. `patience_sec` is how long requests that
    wait for a job, or create something, bear a service that does not answer: it may be restarting.
    `http` is the client of httpx to use instead of one of its own, for TLS or proxies of your own.

    Every method raises ServiceUnreachable when nobody answers, and the ProblemError of the status,
    with the service's own sentence, when the answer is an error (`jukebox_client/errors.py`).
    """

    # Jobs

    async def create_job(
        self,
        request: JobBody | Mapping[str, Any] | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Create a song. Whatever is lost on the way, it is one job.

        `request` is the body of `POST /jobs`; `fields` are added to it, e.g. `model="mini"`.
        """
        return document_of(await self._once("POST", "/jobs", json=body_of(request, fields)), Job)

    async def create_and_wait(
        self,
        request: JobBody | Mapping[str, Any] | None = None,
        *,
        timeout_sec: float | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Create a song and return it when it is done.

        Raises:
            JobFailed: it did not succeed.
            WaitTimeout: it has not ended in `timeout_sec`; it goes on.
        """
        job = await self.create_job(request, **fields)
        return await self.wait_for_job(job.id, timeout_sec=timeout_sec)

    async def wait_for_job(self, job_id: str, *, timeout_sec: float | None = None) -> Job:
        """Return a job when it is done.

        Raises:
            JobFailed: it did not succeed.
            WaitTimeout: it has not ended in `timeout_sec`; it goes on.
        """
        async for job in self.follow_job(job_id, timeout_sec=timeout_sec):
            if is_over(job) and job.status != "succeeded":
                raise JobFailed(job)
        return job

    async def follow_job(
        self, job_id: str, *, timeout_sec: float | None = None
    ) -> AsyncIterator[Job]:
        """Yield the job at once and after every change until it is over.

        Reads the event stream. Whenever that breaks or cannot be had, the job is fetched and the
        stream tried again after the pause that the service asks for: polling, at worst.

        Raises:
            WaitTimeout: it has not ended in `timeout_sec`; it goes on.
        """
        path, job = path_of("jobs", job_id), None
        answered_at = time.monotonic()
        deadline = math.inf if timeout_sec is None else answered_at + timeout_sec
        while True:
            async for job in self._changes(f"{path}/events", deadline):
                answered_at = time.monotonic()
                yield job
                if is_over(job):
                    return
            pause_sec = DEFAULT_RETRY_SEC
            try:
                response = await self.request("GET", path)
            except JukeboxClientError as error:
                if not may_pass(error) or time.monotonic() - answered_at > self.patience_sec:
                    raise
            else:
                answered_at = time.monotonic()
                pause_sec = min(retry_after_sec(response), _MAX_POLL_SEC)
                job = document_of(response, Job)
                yield job
                if is_over(job):
                    return
            left_sec = deadline - time.monotonic()
            if left_sec <= 0 and job is not None:
                raise WaitTimeout(job, timeout_sec or 0.0)
            await self._sleep(min(pause_sec, max(left_sec, 0.0)))

    async def _changes(self, path: str, deadline: float) -> AsyncIterator[Job]:
        """The job after each event of one connection; the caller finds out why it ended."""
        job = None
        try:
            async for event in self._stream(path, EventParser(), deadline):
                job = job_after(job, event)
                if job is not None:
                    yield job
        except (JukeboxClientError, httpx.TransportError):
            return

    def stream_job_events(self, job_id: str, *, last_event_id: str = "") -> AsyncIterator[JobEvent]:
        """The events of a job until it is over; a broken stream goes on where it broke."""
        path = f"{path_of('jobs', job_id)}/events"
        return self._events(
            "streamJobEvents", path, last_event_id, lambda event: event.ends_the_job
        )

    def stream_events(self, *, last_event_id: str = "") -> AsyncIterator[JobEvent]:
        """The events of all jobs of the API key, without end; a broken stream goes on.

        After `reset`, load what you show of the jobs again: earlier events are lost.
        """
        return self._events("streamEvents", "/events", last_event_id, lambda _: False)

    async def get_job(self, job_id: str, *, wait: float | None = None) -> Job:
        """The job now, or after its next change but at most `wait` seconds (60 at most)."""
        timeout = httpx.USE_CLIENT_DEFAULT if wait is None else httpx.Timeout(wait + 30.0)
        response = await self.request(
            "GET", path_of("jobs", job_id), params=present({"wait": wait}), timeout=timeout
        )
        return document_of(response, Job)

    async def list_jobs(self, **filters: Unpack[ListJobsQuery]) -> JobList:
        """One page of jobs, newest first; `filters` are the parameters of `GET /jobs`."""
        return await self._get(JobList, "/jobs", filters)

    def jobs(self, **filters: Unpack[ListJobsQuery]) -> AsyncIterator[Job]:
        """Every job that the parameters of `GET /jobs` select, page by page."""
        return self._jobs("/jobs", filters)

    async def list_children(
        self, job_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> JobList:
        """One page of the jobs that were derived from a job, newest first."""
        params = {"limit": limit, "cursor": cursor}
        return await self._get(JobList, path_of("jobs", job_id, "children"), params)

    def children(self, job_id: str) -> AsyncIterator[Job]:
        """Every job that was derived from a job, page by page."""
        return self._jobs(path_of("jobs", job_id, "children"), {})

    async def _jobs(self, path: str, filters: Mapping[str, Any]) -> AsyncIterator[Job]:
        cursor = None
        while True:
            page = await self._get(
                JobList, path, {"limit": _PAGE_JOBS, **filters, "cursor": cursor}
            )
            for job in page.data:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def update_job(self, job_id: str, **changes: Unpack[JobChanges]) -> Job:
        """Name a job: title, tags and so on. None or an empty value clears a field."""
        path = path_of("jobs", job_id)
        return document_of(await self.request("PATCH", path, json=dict(changes)), Job)

    async def cancel_job(self, job_id: str) -> Job:
        """Ask a job to stop; no effect if it is over."""
        return document_of(await self.request("POST", path_of("jobs", job_id, "cancel")), Job)

    async def retry_job(self, job_id: str) -> Job:
        """Queue a failed job again; what was generated is kept."""
        return document_of(await self._once("POST", path_of("jobs", job_id, "retry")), Job)

    async def delete_job(self, job_id: str, *, permanent: bool | None = None) -> None:
        """Move a job that is over to the trash; with `permanent`, or in the trash, remove it."""
        params = {"permanent": permanent}
        await self.request("DELETE", path_of("jobs", job_id), params=present(params))

    async def restore_job(self, job_id: str) -> Job:
        """Bring a job back from the trash."""
        return document_of(await self.request("POST", path_of("jobs", job_id, "restore")), Job)

    async def pin_job(self, job_id: str) -> Job:
        """Keep a job and its codes until it is unpinned."""
        return document_of(await self.request("POST", path_of("jobs", job_id, "pin")), Job)

    async def unpin_job(self, job_id: str) -> Job:
        """Let a job expire again."""
        return document_of(await self.request("DELETE", path_of("jobs", job_id, "pin")), Job)

    # Models

    async def list_models(self) -> ModelList:
        """All models, ready ones first."""
        return await self._get(ModelList, "/models")

    async def search_artists(
        self, model: str, text: str = "", *, limit: int | None = None
    ) -> NameList:
        """The artists of a model whose names are like `text`."""
        params = {"q": text, "limit": limit}
        return await self._get(NameList, path_of("models", model, "artists"), params)

    async def search_genres(
        self, model: str, text: str = "", *, limit: int | None = None
    ) -> NameList:
        """The genres of a model whose names are like `text`."""
        params = {"q": text, "limit": limit}
        return await self._get(NameList, path_of("models", model, "genres"), params)

    async def preview_lyrics(self, model: str, **options: Unpack[LyricsQuery]) -> Lyrics:
        """What a model would read; `options` are the parameters of the operation."""
        return await self._get(Lyrics, path_of("models", model, "lyrics-preview"), options)

    # Webhooks and sessions

    async def get_webhook_secret(self) -> WebhookSecret:
        """The secret that signs webhooks of this API key; see `verify_webhook`."""
        return await self._get(WebhookSecret, "/webhooks/secret")

    async def open_session(self) -> Session:
        """Get a session cookie for the API key; this client keeps it."""
        return document_of(await self.request("POST", "/session"), Session)

    async def get_session(self) -> Session:
        """Id and scopes of the API key, and the end of the session."""
        return await self._get(Session, "/session")

    async def close_session(self) -> None:
        """End the session."""
        await self.request("DELETE", "/session")

    # The service

    async def check_health(self) -> Health:
        """Whether the process runs, even if it does not reach its store."""
        return await self._get(Health, "/healthz")

    async def check_readiness(self) -> Health:
        """Whether the service reaches its store."""
        return await self._get(Health, "/readyz")

    async def is_alive(self) -> bool:
        """Whether the service answers, even if it does not reach its store."""
        return await self._answers("/healthz")

    async def is_ready(self) -> bool:
        """Whether the service answers and reaches its store."""
        return await self._answers("/readyz")

    async def _answers(self, path: str) -> bool:
        try:
            await self.request("GET", path, timeout=_HEALTH_TIMEOUT_SEC)
        except JukeboxClientError:
            return False
        return True

    async def get_system(self) -> SystemStatus:
        """Workers, counts of jobs, version."""
        return await self._get(SystemStatus, "/system")

    async def get_metrics(self) -> str:
        """Metrics in the Prometheus text format."""
        return (await self.request("GET", "/metrics")).text

    async def get_openapi(self) -> dict[str, Any]:
        """The service's own OpenAPI document."""
        return object_of(await self.request("GET", "/openapi.json"))


def body_of(
    request: JobBody | Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON of a request: what was set, and nothing else."""
    if request is None or isinstance(request, Mapping):
        return {**(request or {}), **fields}
    return {**request.model_dump(mode="json", exclude_unset=True), **fields}
