"""The events of all jobs of a caller as one stream of server-sent events."""

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header
from fastapi.sse import format_sse_event

from api.dependencies import JobReader, JobReaderDep, Services, ServicesDep, stream_place
from api.job_feed import FeedEnded, Follower, PastNotKept
from api.views.event_schemas import FEED_EVENTS, FeedReset, event_stream
from api.views.openapi import problems
from api.web.callers import CallerDep
from api.web.event_stream import SIGN_OF_LIFE, EventStream, event_bytes
from jobs.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.store import FeedEvent

router = APIRouter(tags=["jobs"])

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_RECONNECT_MS = 2000
_RESUMED = format_sse_event(comment="resumed", retry=_RECONNECT_MS)
_WITHOUT_JOB = frozenset({"progress", "deleted"})
_SHARED_SEC = 60.0
"""For so long clients are given the same view of a job: its signed URLs must be fresh."""
_EXAMPLE = (
    'event: reset\nid: 1795332600000-0\nretry: 2000\ndata: {"reason": "connected"}\n\n'
    'event: created\nid: 1795332601000-0\ndata: {"job_id": "job_01...", "job": {...}}\n\n'
    'event: progress\nid: 1795332602000-0\ndata: {"job_id": "job_01...", "value": 0.2, ...}\n\n'
)


async def follow(
    caller: CallerDep,
    services: ServicesDep,
    last_event_id: Annotated[
        str | None,
        Header(description="Id of the last event received; browsers send it automatically"),
    ] = None,
) -> AsyncIterator[Follower]:
    """A place in the feed, as long as the answer lasts. Raises StoreUnavailable."""
    is_known = last_event_id is not None and _EVENT_ID.fullmatch(last_event_id)
    await services.feed.start()
    after = last_event_id if is_known else None
    with services.feed.following(caller.listed_owner, after=after) as follower:
        yield follower


@router.get(
    "/events",
    operation_id="streamEvents",
    dependencies=[Depends(stream_place)],
    summary="Follow all jobs",
    response_class=EventStream,
    response_description="`reset` first unless resumed, then the events of all jobs of the caller",
    responses={
        200: event_stream(FEED_EVENTS, _EXAMPLE),
        **problems(503),
    },
)
async def stream_events(
    services: ServicesDep,
    reader: JobReaderDep,
    follower: Annotated[Follower, Depends(follow)],
) -> EventStream:
    """Streams `created`, `status`, `stage`, `progress`, `output`, `changed` and `deleted`.

    All data have `job_id`; all but `progress` and `deleted` have the whole job as `job`. On
    `reset`, load the list of jobs: a new stream begins with it, and so does one whose
    `Last-Event-ID` is so old that events after it are lost. Otherwise the stream resumes after
    that event. If there are no events, a comment is sent every 15 seconds.
    """
    return EventStream(_stream(services, reader, follower))


async def _stream(
    services: Services, reader: JobReader, follower: Follower
) -> AsyncIterator[bytes]:
    yield _RESUMED if follower.is_behind else _reset(follower, "connected")
    while True:
        try:
            async for event in services.feed.next_events(follower):
                yield SIGN_OF_LIFE if event is None else await _shared(event, services, reader)
        except PastNotKept:
            yield _reset(follower, "past_not_kept")
        except (FeedEnded, StoreUnavailable):
            # The answer has begun, so no problem can be told; the client comes back and hears it.
            return


def _reset(follower: Follower, reason: Literal["connected", "past_not_kept"]) -> bytes:
    text = FeedReset(reason=reason).model_dump_json()
    return event_bytes("reset", text, event_id=follower.position, retry_ms=_RECONNECT_MS)


async def _shared(event: FeedEvent, services: Services, reader: JobReader) -> bytes:
    """The event as all clients of this audience get it, made once for them."""

    async def make() -> bytes:
        return event_bytes(event.kind, await _text(event, reader), event_id=event.id)

    key = (event.id, reader.audience, time.monotonic() // _SHARED_SEC)
    return await services.feed.made.get(key, make)


async def _text(event: FeedEvent, reader: JobReader) -> str:
    data: dict[str, Any] = {"job_id": event.job_id, **event.data}
    if event.kind not in _WITHOUT_JOB:
        try:
            _, view = await reader.read(event.job_id)
            data["job"] = view.model_dump(mode="json")
        except (JobNotFound, RecordUnreadable):
            data["job"] = None
    return json.dumps(data, ensure_ascii=False)
