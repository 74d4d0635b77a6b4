"""The progress of a job as server-sent events."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from api.dependencies import (
    JobId,
    JobReader,
    JobReaderDep,
    Services,
    ServicesDep,
    stream_place,
)
from api.views.event_schemas import JOB_EVENTS, event_stream
from api.views.openapi import problems
from api.views.schemas import JobView
from api.web.waiting import ServiceStopping, next_events
from jobs.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.record.job import TERMINAL_STATUSES, Job
from jobs.store import JobEvent, event_order

router = APIRouter(tags=["jobs"])

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_WAIT_SEC = 15.0
"""How long to wait for events before looking at the record again, in case an event was lost."""
_RECONNECT_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where a client's stream begins: after which event, and how the job was just then."""

    job: Job
    view: JobView
    last_event_id: str


async def subscribe(
    job_id: JobId,
    services: ServicesDep,
    reader: JobReaderDep,
    last_event_id: Annotated[
        str | None,
        Header(description="Id of the last event received; browsers send it automatically"),
    ] = None,
) -> Subscription:
    """Find the beginning of a stream, while an error can still be answered as one.

    Raises:
        HTTPException: 204, which tells a browser to stop reconnecting: the job has ended and
            the client has seen its last event.
    """
    newest_id = await services.watcher.last_event_id(job_id)
    job, view = await reader.read(job_id)
    if last_event_id is None or not _EVENT_ID.fullmatch(last_event_id):
        return Subscription(job=job, view=view, last_event_id=newest_id)
    if job.is_terminal and event_order(last_event_id) >= event_order(newest_id):
        raise HTTPException(HTTPStatus.NO_CONTENT)
    # An id from the future (the store lost events) would wait for what never comes.
    start_id = min(last_event_id, newest_id, key=event_order)
    return Subscription(job=job, view=view, last_event_id=start_id)


_STREAM_EXAMPLE = (
    'event: snapshot\nid: 1795332600000-0\nretry: 2000\ndata: {"object": "job", ...}\n\n'
    'event: progress\nid: 1795332601000-0\ndata: {"value": 0.2, "level": "middle", ...}\n\n'
    'event: status\nid: 1795332609000-0\ndata: {"status": "succeeded", "job": {...}}\n\n'
)


@router.get(
    "/jobs/{job_id}/events",
    operation_id="streamJobEvents",
    dependencies=[Depends(stream_place)],
    summary="Follow progress",
    response_class=EventSourceResponse,
    response_description="`snapshot` first, then `status`, `progress`, `output`, `stage` and "
    "`changed`",
    responses={
        200: event_stream(JOB_EVENTS, _STREAM_EXAMPLE),
        204: {"description": "The job has ended and `Last-Event-ID` is its last event"},
        **problems(404, 503),
    },
)
async def stream_job_events(
    services: ServicesDep,
    reader: JobReaderDep,
    subscription: Annotated[Subscription, Depends(subscribe)],
) -> AsyncIterator[ServerSentEvent]:
    """Streams a snapshot of the job and then its events. The stream closes when the job ends.

    All events except `progress` contain the whole job as `job`. With `Last-Event-ID`, the stream
    resumes after that event. If there are no events, a comment is sent every 15 seconds.
    """
    yield ServerSentEvent(
        event="snapshot",
        id=subscription.last_event_id,
        retry=_RECONNECT_MS,
        data=subscription.view,
    )
    try:
        async for event in _events(services, reader, subscription):
            yield event
    except (JobNotFound, RecordUnreadable, StoreUnavailable, ServiceStopping):
        # The answer has begun, so no problem can be told; the client comes back and hears it then.
        return


async def _events(
    services: Services, reader: JobReader, subscription: Subscription
) -> AsyncIterator[ServerSentEvent]:
    job, last_event_id = subscription.job, subscription.last_event_id
    value = job.progress_value
    while True:
        timeout_sec = 0.05 if job.is_terminal else _WAIT_SEC
        events = await next_events(
            services.watcher, services.stopping, job.id, last_event_id, timeout_sec=timeout_sec
        )
        view = None
        if not events or any(event.kind != "progress" for event in events):
            job, view = await reader.read(job.id)
        for event in events:
            last_event_id = event.id
            if _goes_back(event, value):
                continue
            value = max(value, event.data.get("value", value))
            yield ServerSentEvent(event=event.kind, id=event.id, data=_data(event, view))
        # A job that failed may have been retried since: then that end was none.
        if job.is_terminal and (not events or any(_is_last(event) for event in events)):
            return


def _goes_back(event: JobEvent, value: float) -> bool:
    """Progress from before the snapshot, seen again because the client asked for old events."""
    return event.kind == "progress" and event.data.get("value", value) < value


def _is_last(event: JobEvent) -> bool:
    return event.kind == "status" and event.data.get("status") in TERMINAL_STATUSES


def _data(event: JobEvent, view: JobView | None) -> dict[str, Any]:
    if event.kind == "progress" or view is None:
        return dict(event.data)
    return {**event.data, "job": view.model_dump(mode="json")}
