"""The progress of a job as server-sent events."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
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
from api.web.event_stream import SIGN_OF_LIFE, EventStream, event_bytes
from api.web.waiting import ServiceStopping, next_events
from jobs.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.record.job import TERMINAL_STATUSES, Job
from jobs.store import JobEvent, event_order

router = APIRouter(tags=["jobs"])

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_WAIT_SEC = 15.0
"""How long to wait for events before looking at the record again, in case an event was lost."""
_SNAPSHOT_SEC = 1.0
_SHARED_SEC = 60.0
"""For so long clients are given the same view of a job: its signed URLs must be fresh."""
_RECONNECT_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where a client's stream begins: after which event, and how the job was just then."""

    job: Job
    snapshot: str
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

    async def make() -> tuple[Job, str]:
        job, view = await reader.read(job_id)
        return job, view.model_dump_json()

    # Clients that come back all at once, after a restart, do not each read the same record.
    key = (job_id, newest_id, reader.audience, time.monotonic() // _SNAPSHOT_SEC)
    job, snapshot = await services.snapshots.get(key, make)
    if last_event_id is None or not _EVENT_ID.fullmatch(last_event_id):
        return Subscription(job=job, snapshot=snapshot, last_event_id=newest_id)
    if job.is_terminal and event_order(last_event_id) >= event_order(newest_id):
        raise HTTPException(HTTPStatus.NO_CONTENT)
    # An id from the future (the store lost events) would wait for what never comes.
    start_id = min(last_event_id, newest_id, key=event_order)
    return Subscription(job=job, snapshot=snapshot, last_event_id=start_id)


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
    response_class=EventStream,
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
) -> EventStream:
    """Streams a snapshot of the job and then its events. The stream closes when the job ends.

    All events except `progress` contain the whole job as `job`. With `Last-Event-ID`, the stream
    resumes after that event. If there are no events, a comment is sent every 15 seconds.
    """
    return EventStream(_stream(services, reader, subscription))


async def _stream(
    services: Services, reader: JobReader, subscription: Subscription
) -> AsyncIterator[bytes]:
    yield event_bytes(
        "snapshot",
        subscription.snapshot,
        event_id=subscription.last_event_id,
        retry_ms=_RECONNECT_MS,
    )
    stop = asyncio.ensure_future(services.stopping.wait())
    try:
        async for content in _events(services, reader, subscription, stop):
            yield content
    except (JobNotFound, RecordUnreadable, StoreUnavailable, ServiceStopping):
        # The answer has begun, so no problem can be told; the client comes back and hears it then.
        return
    finally:
        stop.cancel()


async def _events(
    services: Services,
    reader: JobReader,
    subscription: Subscription,
    stop: "asyncio.Future[Any]",
) -> AsyncIterator[bytes]:
    job, last_event_id = subscription.job, subscription.last_event_id
    value = job.progress_value
    while True:
        timeout_sec = 0.05 if job.is_terminal else _WAIT_SEC
        events = await next_events(
            services.watcher, stop, job.id, last_event_id, timeout_sec=timeout_sec
        )
        shown: Mapping[str, bytes] = {}
        if not events:
            job, _ = await reader.read(job.id)
            yield SIGN_OF_LIFE
        elif any(event.kind != "progress" for event in events):
            job, shown = await _shared_events(services, reader, job.id, events)
        contents = []
        for event in events:
            last_event_id = event.id
            if _goes_back(event, value):
                continue
            value = max(value, event.data.get("value", value))
            contents.append(shown.get(event.id) or _bytes_of(event, event.data))
        if contents:
            yield b"".join(contents)
        # A job that failed may have been retried since: then that end was none.
        if job.is_terminal and (not events or any(_is_last(event) for event in events)):
            return


async def _shared_events(
    services: Services, reader: JobReader, job_id: str, events: Sequence[JobEvent]
) -> tuple[Job, Mapping[str, bytes]]:
    """The job after these events, and those of them that show it, by their ids.

    Made once for all who follow the job and have come as far.
    """

    async def make() -> tuple[Job, Mapping[str, bytes]]:
        job, view = await reader.read(job_id)
        shown = view.model_dump(mode="json")
        return job, {
            event.id: _bytes_of(event, {**event.data, "job": shown})
            for event in events
            if event.kind != "progress"
        }

    ids = (events[0].id, events[-1].id)
    key = (job_id, ids, reader.audience, time.monotonic() // _SHARED_SEC)
    return await services.shown_events.get(key, make)


def _bytes_of(event: JobEvent, data: Mapping[str, Any]) -> bytes:
    return event_bytes(event.kind, json.dumps(data, ensure_ascii=False), event_id=event.id)


def _goes_back(event: JobEvent, value: float) -> bool:
    """Progress from before the snapshot, seen again because the client asked for old events."""
    return event.kind == "progress" and event.data.get("value", value) < value


def _is_last(event: JobEvent) -> bool:
    return event.kind == "status" and event.data.get("status") in TERMINAL_STATUSES
