"""Jobs: create, retrieve, cancel, retry, delete and restore."""

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, Field

from api.dependencies import JobId, JobIdInTrash, JobReader, JobReaderDep, Services, ServicesDep
from api.submission.create_job import create, forget_files, retry
from api.views.job_schemas import JobView
from api.views.openapi import (
    CONTINUE_REQUEST,
    DRAFT_REQUEST,
    EXAMPLE_REQUEST,
    PRIMED_REQUEST,
    REDO_REQUEST,
    SPLICE_REQUEST,
    UPSAMPLE_REQUEST,
    problems,
)
from api.views.views import poll_after_sec
from api.web.callers import CallerDep
from api.web.disconnect import client_disconnecting
from api.web.idempotency import IdempotencyHeader, idempotency_of, named_request
from api.web.waiting import ClientDisconnected, ServiceStopping, next_events
from jobs.errors import StoreUnavailable
from jobs.idempotency import ANYONE
from jobs.record.bodies import AncestralBody, JobBody
from jobs.record.job import TERMINAL_STATUSES, Job

_log = logging.getLogger(__name__)

router = APIRouter(tags=["jobs"])

_LOCATION = {"Location": {"description": "The job", "schema": {"type": "string"}}}
_REPLAYED = {
    "description": "The current state of the job that the first request with this key created",
    "model": JobView,
    "headers": {
        **_LOCATION,
        "Idempotent-Replayed": {"description": "`true`", "schema": {"type": "string"}},
    },
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


@router.post(
    "/jobs",
    operation_id="createJob",
    summary="Create a song",
    status_code=HTTPStatus.ACCEPTED,
    response_description="Accepted: the job is saved and will be run",
    responses={
        200: _REPLAYED,
        202: {"headers": _LOCATION},
        **problems(400, 409, 413, 415, 429, 503, 507),
    },
)
async def create_job(
    body: Annotated[
        JobBody,
        Body(
            openapi_examples={
                "song": {"summary": "Ten seconds with lyrics", "value": EXAMPLE_REQUEST},
                "draft": {"summary": "Three quick drafts", "value": DRAFT_REQUEST},
                "primed": {"summary": "Start from a recording", "value": PRIMED_REQUEST},
                "continue": {"summary": "Ten seconds more of take 1", "value": CONTINUE_REQUEST},
                "upsample": {"summary": "Finer levels for a draft", "value": UPSAMPLE_REQUEST},
                "redo": {"summary": "Another middle for take 1", "value": REDO_REQUEST},
                "splice": {"summary": "Insert two seconds of take 1", "value": SPLICE_REQUEST},
            }
        ),
    ],
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
) -> JobView:
    """Creates a job that generates a song. Requests are fully validated before they are accepted.

    Unknown artists and genres are allowed; `labels` shows how each level resolved the names. If
    `seed` is omitted, it is random. The seed is always returned.

    `mode` selects how the song starts: from nothing (`ancestral`), from a recording (`primed`), or
    from the codes of another job or an asset, which are extended by `duration_seconds`
    (`continue`) or get finer levels (`upsample`); `splice` joins `parts` of several. Existing
    material is copied into the job and kept unchanged, so the parent or asset can be deleted.

    To retry safely after a lost connection or a 503, send an `Idempotency-Key`. A retry returns
    200 with the job that the first request created.
    """
    idempotency = idempotency_of(caller.owner or ANYONE, idempotency_key, body)
    create_job = partial(create, services, caller, body, idempotency)
    if isinstance(body, AncestralBody):
        job, is_replayed = await to_thread.run_sync(create_job)
    else:
        # Cuts a prompt in a child, or reads codes: slow work, of which no key has more than others.
        job, is_replayed = await services.ingest.slots.run(caller.owner, create_job)
    view = await to_thread.run_sync(_view_of_new, services, reader, job)
    response.headers["Location"] = view.urls.self
    if view.status not in TERMINAL_STATUSES:
        response.headers["Retry-After"] = str(poll_after_sec(view))
    if is_replayed:
        response.status_code = HTTPStatus.OK
        response.headers["Idempotent-Replayed"] = "true"
    return view


def _view_of_new(services: Services, reader: JobReader, job: Job) -> JobView:
    """An accepted job stays accepted, even if the store goes away right after the write."""
    try:
        return reader.view(services.store.get(job.id))
    except StoreUnavailable:
        return reader.bare_view(job)


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    summary="Retrieve a job",
    responses={200: {"headers": _RETRY_AFTER}, **problems(404, 503)},
)
async def get_job(
    job_id: JobId,
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    wait: Annotated[
        float,
        Query(ge=0.0, le=60.0, description="Seconds to wait for a change other than progress"),
    ] = 0.0,
) -> JobView:
    """Returns the job, with `wait` after its next change. `Retry-After`: when to poll again."""
    last_event_id = await services.watcher.last_event_id(job_id) if wait else "0-0"
    job, view = await reader.read(job_id)
    if wait and not job.is_terminal:
        with suppress(ServiceStopping), services.streams.place(caller.owner):
            async with client_disconnecting(request) as leaving:
                if not await _next_change(services, job_id, last_event_id, wait, leaving):
                    return view
        job, view = await reader.read(job_id)
    if not job.is_terminal:
        response.headers["Retry-After"] = str(poll_after_sec(view))
    return view


async def _next_change(
    services: Services,
    job_id: str,
    last_event_id: str,
    wait_sec: float,
    leaving: "asyncio.Future[None]",
) -> bool:
    """Return after the first event that is not progress, or when the time is over.

    False when nobody waits for it any more. Raises ServiceStopping, StoreUnavailable.
    """
    stop = asyncio.ensure_future(services.stopping.wait())
    try:
        return await _change_before(services, job_id, last_event_id, wait_sec, leaving, stop)
    finally:
        stop.cancel()


async def _change_before(
    services: Services,
    job_id: str,
    last_event_id: str,
    wait_sec: float,
    leaving: "asyncio.Future[None]",
    stop: "asyncio.Future[Any]",
) -> bool:
    deadline = time.monotonic() + wait_sec
    while (timeout_sec := deadline - time.monotonic()) > 0.01:
        try:
            events = await next_events(
                services.watcher,
                stop,
                job_id,
                last_event_id,
                timeout_sec=timeout_sec,
                leaving=leaving,
            )
        except ClientDisconnected:
            return False
        if any(event.kind != "progress" for event in events):
            return True
        if events:
            last_event_id = events[-1].id
        else:
            # A watcher may come back early; it must not make this a busy loop.
            await asyncio.sleep(0.01)
    return True


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_description="The job: `canceled`, `canceling`, or unchanged if it had already ended",
    responses=problems(404, 503),
)
def cancel_job(job_id: JobId, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """Cancels a job. Finished levels are kept. No effect if it is canceled or has ended."""
    return reader.view(services.store.request_cancel(job_id))


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retryJob",
    summary="Retry a failed job",
    response_description="The job, `queued` again",
    responses={200: {"headers": _REPLAYED["headers"]}, **problems(404, 409, 429, 503)},
)
def retry_job(
    job_id: JobId,
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
) -> JobView:
    """Requeues a failed job at the stage where it failed. What was generated is kept.

    Only a job that failed with a `retryable` error can be retried; any other job returns 409.
    `attempt` is reset to 1, `started_at` is unchanged, and `timeout_seconds` starts again. A
    repeated request with the same `Idempotency-Key` returns the current state of the job.
    """
    idempotency = named_request(caller.owner or ANYONE, f"retry {job_id}", idempotency_key)
    job, is_replayed = retry(services, job_id, idempotency)
    if is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return reader.view(job)


class DeletionQuery(BaseModel):
    """Whether a job can be restored. What is misspelt must not go to the trash instead."""

    permanent: Annotated[
        bool, Field(description="Delete record and files now, which cannot be undone")
    ] = False


@router.delete(
    "/jobs/{job_id}",
    operation_id="deleteJob",
    summary="Delete a job",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Deleted, or in the trash",
    responses=problems(404, 409, 503),
)
def delete_job(
    job_id: JobIdInTrash,
    services: ServicesDep,
    query: Annotated[DeletionQuery, Query()],
) -> None:
    """Moves a finished job to the trash for an hour. Returns 409 if the job has not ended.

    In the trash it can be restored and still uses storage. Record and files are deleted after the
    hour, with `permanent`, or if the job is deleted once more.
    """
    trash_sec = 0.0 if query.permanent else services.settings.keep_trash_sec
    if services.store.delete(job_id, trash_sec=trash_sec):
        forget_files(services, job_id)


@router.post(
    "/jobs/{job_id}/restore",
    operation_id="restoreJob",
    summary="Restore a deleted job",
    response_description="The job, out of the trash",
    responses=problems(404, 503),
)
def restore_job(job_id: JobIdInTrash, services: ServicesDep, reader: JobReaderDep) -> JobView:
    """Takes a job out of the trash. Its retention period starts again.

    No effect if the job is not in the trash.
    """
    return reader.view(services.store.restore(job_id))
