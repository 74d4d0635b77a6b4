"""Events of one job, or of all jobs, as they happen, read from their streams."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from jobs.errors import InvalidCursor, StoreUnavailable
from jobs.store.connection import REPLY_TIMEOUT_SEC, connect_async, errors_as_store_unavailable
from jobs.store.scripts import FEED_KEY, events_key
from jobs.store.types import FeedEvent, FeedPage, JobEvent

NO_EVENT_ID = "0-0"

_FEED_EVENTS = 500
"""Of all jobs, read at once."""
_DEADLINE_STEPS = 8
_EVENT_ID = re.compile(r"\d{1,19}(-\d{1,19})?", re.ASCII)


def event_order(event_id: str) -> tuple[int, int]:
    """By which ids of events are compared."""
    milliseconds, _, sequence = event_id.partition("-")
    return int(milliseconds), int(sequence)


@dataclass(slots=True, eq=False)
class _Wait:
    """Some who wait for the next event of one job, until `ends_at` of the loop's clock."""

    reading: "asyncio.Future[list[JobEvent]]"
    ends_at: float
    num_waiting: int = 0


class JobWatcher:
    """For one event loop; each wait has a connection, so that hundreds can wait."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect_async(redis_url)
        self._waits: dict[tuple[str, str], _Wait] = {}

    @property
    def num_waiting(self) -> int:
        """Calls that wait for an event of one job at this moment."""
        return sum(wait.num_waiting for wait in self._waits.values())

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

        All who wait for the same event share one connection and one answer. Only about the last
        thousand events are kept. Raises InvalidCursor when `last_event_id` is not an id of an
        event, StoreUnavailable.
        """
        if _EVENT_ID.fullmatch(last_event_id) is None:
            raise InvalidCursor(f"{last_event_id!r} is not the id of an event")
        if round(timeout_sec * 1000) == 0:
            return await self._read_events(job_id, last_event_id, block_ms=None)
        deadline = asyncio.get_running_loop().time() + timeout_sec
        while asyncio.get_running_loop().time() < deadline:
            events = await self._wait_for_events((job_id, last_event_id), deadline)
            if events:
                return events
        return []

    async def _wait_for_events(self, key: tuple[str, str], deadline: float) -> list[JobEvent]:
        """Join those who wait for the event after this one, or begin to wait for it.

        Returns nothing at `deadline`, or when those who began wait no longer. The last one who
        stops waiting gives the connection back at once.
        """
        loop = asyncio.get_running_loop()
        if key not in self._waits:
            block_ms = max(round((deadline - loop.time()) * 1000), 1)
            reading = asyncio.ensure_future(self._read_events(*key, block_ms=block_ms))
            wait = self._waits[key] = _Wait(reading, ends_at=deadline)
            reading.add_done_callback(lambda _: self._end_wait(key, wait))
        wait = self._waits[key]
        wait.num_waiting += 1
        # What ends in time is waited for to its end, which tells if the server is away.
        timeout_sec = None if wait.ends_at <= deadline else deadline - loop.time()
        try:
            done, _ = await asyncio.wait({wait.reading}, timeout=timeout_sec)
            return wait.reading.result() if done else []
        finally:
            wait.num_waiting -= 1
            if wait.num_waiting == 0 and not wait.reading.done():
                self._end_wait(key, wait)
                wait.reading.cancel()
                await asyncio.gather(wait.reading, return_exceptions=True)

    def _end_wait(self, key: tuple[str, str], wait: "_Wait") -> None:
        """Whoever comes now waits anew."""
        if self._waits.get(key) is wait:
            del self._waits[key]

    async def _read_events(
        self, job_id: str, last_event_id: str, *, block_ms: int | None
    ) -> list[JobEvent]:
        # To the server, 0 means to wait for ever; None means not to wait.
        streams: Any = {events_key(job_id): last_event_id}
        with errors_as_store_unavailable():
            async with _answer_within((block_ms or 0) / 1000 + REPLY_TIMEOUT_SEC):
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
    """A deadline for a server that accepts commands and does not answer.

    It is reached in steps, of which one at most counts while this process is too busy to look: a
    thousand clients that come at once must not make the server seem dead.
    """
    loop, steps_left = asyncio.get_running_loop(), _DEADLINE_STEPS
    timer: asyncio.TimerHandle
    try:
        async with asyncio.timeout(None) as deadline:

            def step() -> None:
                nonlocal steps_left, timer
                steps_left -= 1
                if steps_left:
                    timer = loop.call_later(seconds / _DEADLINE_STEPS, step)
                else:
                    deadline.reschedule(loop.time())

            timer = loop.call_later(seconds / _DEADLINE_STEPS, step)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError as error:
        raise StoreUnavailable(f"the job store did not answer within {seconds:.1f} s") from error
