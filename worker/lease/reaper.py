"""Sends again what nobody holds: a message may be lost, a job must not be."""

import logging
import threading

from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.queue import JobQueue
from jobs.store import DueJob, JobStore

log = logging.getLogger(__name__)

POSTPONE_SEC = 10.0
"""Time for a worker to claim what was just sent, or to come to what still waits in line."""


class Reaper(threading.Thread):
    """Looks every few seconds for jobs whose message or whose worker is gone.

    Any number of reapers may run: a message too many finds its job held, and does nothing.
    """

    def __init__(self, store: JobStore, queue: JobQueue, *, every_sec: float) -> None:
        super().__init__(name="reaper", daemon=True)
        self._store, self._queue = store, queue
        self._every_sec = every_sec
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopping.wait(self._every_sec):
            try:
                self.reap()
            except (StoreUnavailable, QueueUnavailable) as error:
                log.warning("cannot look for lost jobs now: %s", error)
            except Exception:
                log.exception("looking for lost jobs failed")

    def stop(self) -> None:
        """End after the present look."""
        self._stopping.set()

    def reap(self) -> None:
        """One look. Raises StoreUnavailable, QueueUnavailable."""
        depths: dict[str, int] = {}
        for due in self._store.due():
            if due.stage not in depths:
                depths[due.stage] = self._queue.depth(due.stage)
            self._treat(due, depths[due.stage])

    def _treat(self, due: DueJob, depth: int) -> None:
        # Messages look alike from outside: while some wait, this job's may be among them.
        if depth == 0:
            log.info("sending again", extra={"job_id": due.job_id, "stage": due.stage})
            self._queue.publish(due.job_id, due.stage)
        self._store.postpone(due.job_id, POSTPONE_SEC)
