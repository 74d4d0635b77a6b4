"""The events of all jobs of a caller as one stream of server-sent events."""

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.dependencies import JobReader, JobReaderDep, ServicesDep, stream_place
from api.job_feed import FeedEnded, Follower, PastNotKept
from api.views.event_schemas import FEED_EVENTS, FeedReset, event_stream
from api.views.openapi import problems
from api.web.callers import CallerDep
from jobs.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.store import FeedEvent

router = APIRouter(tags=["jobs"])

_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
_RECONNECT_MS = 2000
_WITHOUT_JOB = frozenset({"progress", "deleted"})
_TEXT_SEC = 60.0
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
    response_class=EventSourceResponse,
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
) -> AsyncIterator[ServerSentEvent]:
    """Streams `created`, `status`, `stage`, `progress`, `output`, `changed` and `deleted`.

    All data have `job_id`; all but `progress` and `deleted` have the whole job as `job`. On
    `reset`, load the list of jobs: a new stream begins with it, and so does one whose
    `Last-Event-ID` is so old that events after it are lost. Otherwise the stream resumes after
    that event. If there are no events, a comment is sent every 15 seconds.
    """
    if follower.is_behind:
        yield ServerSentEvent(comment="resumed", retry=_RECONNECT_MS)
    else:
        yield _reset(follower, "connected")
    while True:
        try:
            async for event in services.feed.next_events(follower):
                text = await services.feed.text(
                    (event.id, reader.audience, time.monotonic() // _TEXT_SEC),
                    lambda event=event: _text(event, reader),  # type: ignore[misc]
                )
                yield ServerSentEvent(event=event.kind, id=event.id, raw_data=text)
        except PastNotKept:
            yield _reset(follower, "past_not_kept")
        except (FeedEnded, StoreUnavailable):
            # The answer has begun, so no problem can be told; the client comes back and hears it.
            return


def _reset(follower: Follower, reason: Literal["connected", "past_not_kept"]) -> ServerSentEvent:
    return ServerSentEvent(
        event="reset", id=follower.position, retry=_RECONNECT_MS, data=FeedReset(reason=reason)
    )


async def _text(event: FeedEvent, reader: JobReader) -> str:
    data: dict[str, Any] = {"job_id": event.job_id, **event.data}
    if event.kind not in _WITHOUT_JOB:
        try:
            _, view = await reader.read(event.job_id)
            data["job"] = view.model_dump(mode="json")
        except (JobNotFound, RecordUnreadable):
            data["job"] = None
    return json.dumps(data, ensure_ascii=False)
