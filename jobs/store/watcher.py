"""Events of one job, or of all jobs, as they happen, read from their streams."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jobs.errors import InvalidCursor, StoreUnavailable
from jobs.store.connection import REPLY_TIMEOUT_SEC, connect_async, errors_as_store_unavailable
from jobs.store.scripts import FEED_KEY, events_key
from jobs.store.types import FeedEvent, FeedPage, JobEvent

NO_EVENT_ID = "0-0"

_FEED_EVENTS = 500
"""Of all jobs, read at once."""
_EVENT_ID = re.compile(r"\d{1,19}(-\d{1,19})?", re.ASCII)


def event_order(event_id: str) -> tuple[int, int]:
    """By which ids of events are compared."""
    milliseconds, _, sequence = event_id.partition("-")
    return int(milliseconds), int(sequence)


class JobWatcher:
    """For one event loop; each waiting call has a connection, so that hundreds can wait."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect_async(redis_url)

    async def last_event_id(self, job_id: str) -> str:
        """Id of the newest event; `"0-0"` when there is none. Raises StoreUnavailable."""
        with errors_as_store_unavailable():
            async with _answer_within(REPLY_TIMEOUT_SEC):
                newest: Any = await self._redis.xrevrange(events_key(job_id), count=1)
        return str(newest[0][0]) if newest else NO_EVENT_ID

    async def events_after(
        self, job_id: str, last_event_id: str, *, timeout_sec: float
    ) -> list[JobEvent]:
        """Events newer than `last_event_id`; waits for the first at most `timeout_sec`.

        Only about the last thousand are kept. Raises InvalidCursor when `last_event_id` is not an
        id of an event, StoreUnavailable.
        """
        if _EVENT_ID.fullmatch(last_event_id) is None:
            raise InvalidCursor(f"{last_event_id!r} is not the id of an event")
        # To the server, 0 means to wait for ever; None means not to wait.
        block_ms = round(timeout_sec * 1000) or None
        streams: Any = {events_key(job_id): last_event_id}
        with errors_as_store_unavailable():
            async with _answer_within(timeout_sec + REPLY_TIMEOUT_SEC):
                reply: Any = await self._redis.xread(streams, block=block_ms)
        return [
            JobEvent(id=event_id, kind=fields["kind"], data=json.loads(fields["data"]))
            for _, events in reply
            for event_id, fields in events
        ]

    async def feed_position(self) -> str:
        """Id of the newest event of all jobs, or `"0-0"`. Raises StoreUnavailable."""
        with errors_as_store_unavailable():
            async with _answer_within(REPLY_TIMEOUT_SEC):
                newest: Any = await self._redis.xrevrange(FEED_KEY, count=1)
        return str(newest[0][0]) if newest else NO_EVENT_ID

    async def feed_events(self, position: str, *, timeout_sec: float) -> list[FeedEvent]:
        """Events of all jobs newer than `position`; waits for the first at most `timeout_sec`.

        Raises StoreUnavailable.
        """
        streams: Any = {FEED_KEY: position}
        block_ms = round(timeout_sec * 1000)
        with errors_as_store_unavailable():
            async with _answer_within(timeout_sec + REPLY_TIMEOUT_SEC):
                reply: Any = await self._redis.xread(streams, count=_FEED_EVENTS, block=block_ms)
        return [_feed_event(*entry) for _, entries in reply for entry in entries]

    async def feed_page(self, position: str) -> FeedPage:
        """What is kept of the events of all jobs after `position`, some at a time.

        Raises StoreUnavailable.
        """
        with errors_as_store_unavailable():
            async with _answer_within(REPLY_TIMEOUT_SEC), self._redis.pipeline() as pipeline:
                pipeline.xrange(FEED_KEY, count=1)
                pipeline.xrevrange(FEED_KEY, count=1)
                pipeline.xrange(FEED_KEY, min=f"({position}", count=_FEED_EVENTS)
                oldest, newest, entries = await pipeline.execute()
        first, last = (each[0][0] if each else NO_EVENT_ID for each in (oldest, newest))
        if not event_order(first) <= event_order(position) <= event_order(last):
            return FeedPage(events=(), position=position, has_more=False, is_whole=False)
        return FeedPage(
            events=tuple(_feed_event(*entry) for entry in entries),
            position=str(entries[-1][0]) if entries else position,
            has_more=len(entries) == _FEED_EVENTS,
            is_whole=True,
        )

    async def close(self) -> None:
        """Drop the connections."""
        await self._redis.aclose()


def _feed_event(event_id: str, fields: dict[str, str]) -> FeedEvent:
    return FeedEvent(
        id=event_id,
        kind=fields["kind"],
        data=json.loads(fields["data"]),
        job_id=fields["job_id"],
        owner=fields["owner"] or None,
    )


@asynccontextmanager
async def _answer_within(seconds: float) -> AsyncIterator[None]:
    """A deadline for a server that accepts commands and does not answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise StoreUnavailable(f"the job store did not answer within {seconds:.1f} s") from error
