"""Waiting for a job's events, but never longer than the service lives."""

import asyncio
from typing import Any

from api.dependencies import Services
from jobs.store import JobEvent


class ServiceStopping(Exception):
    """The process was asked to stop; those who wait must be let go."""


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


async def next_events(
    services: Services,
    job_id: str,
    last_event_id: str,
    *,
    timeout_sec: float,
    leaving: "asyncio.Future[None] | None" = None,
) -> list[JobEvent]:
    """Events newer than `last_event_id`; waits for the first at most `timeout_sec`.

    Whoever stops waiting gives the connection to the store back at once.

    Raises:
        ServiceStopping: the process is stopping.
        ClientLeft: `leaving` came to its end, so nobody waits any more.
        StoreUnavailable: the store went away.
    """
    events = asyncio.ensure_future(
        services.watcher.events_after(job_id, last_event_id, timeout_sec=timeout_sec)
    )
    stopping = asyncio.ensure_future(services.stopping.wait())
    reasons: set[asyncio.Future[Any]] = {events, stopping}
    if leaving is not None:
        reasons.add(leaving)
    try:
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        if not events.done():
            raise ServiceStopping if stopping.done() else ClientLeft
        return events.result()
    finally:
        for task in (events, stopping):
            task.cancel()
        await asyncio.gather(events, stopping, return_exceptions=True)
