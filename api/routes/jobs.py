"""Jobs: ask for a song, look, list, stop, forget."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.admission import admit, to_request
from api.dependencies import JobId, JobReader, JobReaderDep, Services, ServicesDep
from api.errors import invalid_field
from api.openapi import DRAFT_REQUEST, EXAMPLE_REQUEST, problems
from api.schemas import JobList, JobView
from api.views import poll_after_sec
from api.waiting import ServiceStopping, next_events
from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.job import Job, JobStatus
from jobs.request_body import AncestralBody
from jukebox_core.catalog import ModelCard
from jukebox_core.errors import JukeboxError, ModelNotFound

_log = logging.getLogger(__name__)

router = APIRouter(tags=["jobs"])

_RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


class ListQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = None
    model: Annotated[str | None, Field(max_length=64)] = None
    created_after: Annotated[
        AwareDatetime | None, Field(description="RFC 3339, e.g. 2026-11-22T07:30:00Z")
    ] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None, Field(max_length=500, description="`next_cursor` of the page before")
    ] = None


@router.post(
    "/jobs",
    operation_id="createJob",
    summary="Ask for a song",
    status_code=HTTPStatus.ACCEPTED,
    response_description="Accepted: the job is recorded and will be drawn",
    responses={
        202: {
            "headers": {"Location": {"description": "The job", "schema": {"type": "string"}}},
        },
        **problems(400, 413, 415, 503),
    },
)
def create_job(
    body: Annotated[
        AncestralBody,
        Body(
            openapi_examples={
                "song": {"summary": "Ten seconds with lyrics", "value": EXAMPLE_REQUEST},
                "draft": {"summary": "Three quick drafts", "value": DRAFT_REQUEST},
            }
        ),
    ],
    services: ServicesDep,
    reader: JobReaderDep,
    response: Response,
) -> JobView:
    """Check a request against its model, record it, and hand it to the workers.

    Whatever cannot be sung is refused here. An unknown artist or genre can be sung: `labels` says
    what each name resolved to at each level. The seed is drawn when absent, and always returned.
    """
    card = _model_card(services, body.model)
    job = admit(to_request(body), card, now=datetime.now(UTC))
    _record(services, job)
    _publish(services, job)
    view = _view_of_new(services, reader, job)
    response.headers["Location"] = view.urls.self
    response.headers["Retry-After"] = str(poll_after_sec(view))
    return view


def _model_card(services: Services, name: str) -> ModelCard:
    try:
        return services.catalog.get(name)
    except ModelNotFound as error:
        raise invalid_field("body", ["model"], str(error)) from error
    except JukeboxError as error:
        _log.error("model %s cannot be used: %s", name, error)
        detail = "this model is installed but broken; the service's log says how"
        raise invalid_field("body", ["model"], detail) from error


def _record(services: Services, job: Job) -> None:
    try:
        services.store.create(job)
    except StoreUnavailable:
        services.withdrawals.add(job.id)
        raise


def _view_of_new(services: Services, reader: JobReader, job: Job) -> JobView:
    """An accepted job stays accepted, even if the store goes away right after the write."""
    try:
        return reader.view(services.store.get(job.id))
    except StoreUnavailable:
        return reader.bare_view(job)


def _publish(services: Services, job: Job) -> None:
    """The message is only a hint: without it the reaper finds the record a little later."""
    try:
        services.queue.publish(job.id, job.stage)
    except QueueUnavailable as error:
        _log.warning("job accepted, but its message was not sent: %s", error)


@router.get(
    "/jobs",
    operation_id="listJobs",
    summary="List jobs, newest first",
    responses=problems(503),
)
def list_jobs(
    query: Annotated[ListQuery, Query()], services: ServicesDep, reader: JobReaderDep
) -> JobList:
    """One page; `next_cursor` leads to the next one and is null on the last."""
    page = services.store.list_jobs(
        status=query.status,
        model=query.model,
        created_after=query.created_after,
        limit=query.limit,
        cursor=query.cursor,
    )
    return JobList(
        data=[reader.view(job) for job in page.jobs],
        has_more=page.next_cursor is not None,
        next_cursor=page.next_cursor,
    )


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    summary="Look at a job",
    responses={200: {"headers": _RETRY_AFTER}, **problems(404, 503)},
)
async def get_job(
    job_id: JobId,
    services: ServicesDep,
    reader: JobReaderDep,
    response: Response,
    wait: Annotated[
        float,
        Query(ge=0.0, le=60.0, description="Seconds to wait for a change other than progress"),
    ] = 0.0,
) -> JobView:
    """The job now, or after its next change; `Retry-After` says when to ask again."""
    last_event_id = await services.watcher.last_event_id(job_id) if wait else "0-0"
    job, view = await reader.read(job_id)
    if wait and not job.is_terminal:
        with suppress(ServiceStopping):
            await _next_change(services, job_id, last_event_id, wait_sec=wait)
        job, view = await reader.read(job_id)
    if not job.is_terminal:
        response.headers["Retry-After"] = str(poll_after_sec(view))
    return view


async def _next_change(
    services: Services, job_id: str, last_event_id: str, *, wait_sec: float
) -> None:
    """Return after the first event that is not progress, or when the time is over."""
    deadline = time.monotonic() + wait_sec
    while (timeout_sec := deadline - time.monotonic()) > 0.01:
        events = await next_events(services, job_id, last_event_id, timeout_sec=timeout_sec)
        if any(event.kind != "progress" for event in events):
            return
        if events:
            last_event_id = events[-1].id
        else:
            # A watcher may come back early; it must not make this a busy loop.
            await asyncio.sleep(0.01)


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Stop a job",
    response_description="The job, `canceled` or `canceling`, or as it ended before",
    responses=problems(404, 503),
)
def cancel_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """Ask a job to stop. Finished levels stay; asking twice, or too late, changes nothing."""
    return reader.view(services.store.request_cancel(job_id))


@router.delete(
    "/jobs/{job_id}",
    operation_id="deleteJob",
    summary="Forget a job that has ended",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="The job and its files are gone",
    responses=problems(404, 409, 503),
)
def delete_job(job_id: JobId, services: ServicesDep) -> None:
    """Remove the record and all files of a job that has ended; one that has not is a conflict."""
    services.store.delete(job_id)
    try:
        services.artifacts.remove_job(job_id)
    except OSError as error:
        # The record is gone, so nobody finds the files any more; they only take room.
        _log.warning("files of a deleted job stay behind: %s", error, extra={"job_id": job_id})
