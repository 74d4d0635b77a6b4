"""Waiting for a job's events, but never longer than the service lives."""

import asyncio

from api.dependencies import Services
from jobs.store import JobEvent


class ServiceStopping(Exception):
    """The process was asked to stop; those who wait must be let go."""


async def next_events(
    services: Services, job_id: str, last_event_id: str, *, timeout_sec: float
) -> list[JobEvent]:
    """Events newer than `last_event_id`; waits for the first at most `timeout_sec`.

    Raises:
        ServiceStopping: the process is stopping.
        StoreUnavailable: the store went away.
    """
    events = asyncio.ensure_future(
        services.watcher.events_after(job_id, last_event_id, timeout_sec=timeout_sec)
    )
    stopping = asyncio.ensure_future(services.stopping.wait())
    try:
        await asyncio.wait({events, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not events.done():
            raise ServiceStopping
        return events.result()
    finally:
        for task in (events, stopping):
            task.cancel()
        await asyncio.gather(events, stopping, return_exceptions=True)
