"""Events of one job as they happen, read from its stream."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jobs.errors import InvalidCursor, StoreUnavailable
from jobs.store.connection import REPLY_TIMEOUT_SEC, connect_async, errors_as_store_unavailable
from jobs.store.scripts import events_key
from jobs.store.types import JobEvent

NO_EVENT_ID = "0-0"

_EVENT_ID = re.compile(r"\d{1,19}(-\d{1,19})?", re.ASCII)


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

    async def close(self) -> None:
        """Drop the connections."""
        await self._redis.aclose()


@asynccontextmanager
async def _answer_within(seconds: float) -> AsyncIterator[None]:
    """A deadline for a server that accepts commands and does not answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise StoreUnavailable(f"the job store did not answer within {seconds:.1f} s") from error
