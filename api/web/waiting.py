"""Waiting for a job's events, but never longer than the service lives."""

import asyncio
from typing import Any

from jobs.store import JobEvent, JobWatcher


class ServiceStopping(Exception):
    """The process was asked to stop; those who wait must be let go."""


class ClientDisconnected(Exception):
    """Nobody waits for the answer any more."""


async def next_events(
    watcher: JobWatcher,
    stop: "asyncio.Future[Any]",
    job_id: str,
    last_event_id: str,
    *,
    timeout_sec: float,
    leaving: "asyncio.Future[None] | None" = None,
) -> list[JobEvent]:
    """Events newer than `last_event_id`; waits for the first at most `timeout_sec`.

    The end of `stop` ends all waiting. Whoever stops waiting gives the connection to the store
    back at once.

    Raises:
        ServiceStopping: the process is stopping.
        ClientDisconnected: `leaving` came to its end, so nobody waits any more.
        StoreUnavailable: the store went away.
    """
    events = asyncio.ensure_future(
        watcher.events_after(job_id, last_event_id, timeout_sec=timeout_sec)
    )
    reasons: set[asyncio.Future[Any]] = {events, stop}
    if leaving is not None:
        reasons.add(leaving)
    try:
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        if not events.done():
            raise ServiceStopping if stop.done() else ClientDisconnected
        return events.result()
    finally:
        if not events.done():
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)
