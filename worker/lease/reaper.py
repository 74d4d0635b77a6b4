"""Sends again what nobody holds: a message may be lost, a job must not be."""

import logging
import threading

from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.queue import JobQueue
from jobs.record.job import Stage
from jobs.store import DueJob, JobStore

log = logging.getLogger(__name__)

POSTPONE_SEC = 10.0
"""Time for a worker to claim what was just sent."""
MAX_DOUBLINGS = 5
"""A message behind others is waited for longer each time, up to 320 s."""
BATCH_SIZE = 100


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
        """One look at every job that is due. Raises StoreUnavailable, QueueUnavailable."""
        depths: dict[Stage, int] = {}
        while not self._stopping.is_set():
            batch = self._store.due(limit=BATCH_SIZE)
            for due in batch:
                if due.stage not in depths:
                    depths[due.stage] = self._queue.depth(due.stage)
                self._treat(due, is_queue_empty=depths[due.stage] == 0)
            # What was treated is postponed, so the next batch is another one.
            if len(batch) < BATCH_SIZE:
                return

    def _treat(self, due: DueJob, *, is_queue_empty: bool) -> None:
        if is_queue_empty or _is_to_be_sent(due):
            log.info("sending again", extra={"job_id": due.job_id, "stage": due.stage})
            self._queue.publish(due.job_id, due.stage)
        num_doublings = 0 if is_queue_empty else min(due.num_looks, MAX_DOUBLINGS)
        self._store.postpone(due.job_id, POSTPONE_SEC * 2**num_doublings)


def _is_to_be_sent(due: DueJob) -> bool:
    """Whether a job is sent again although messages wait, one of which may be its own.

    A worker that died took the message with it. Any other job is given one more look; after that
    a second message does no harm, but a job without one would wait for ever in a busy service.
    """
    return due.is_abandoned or due.num_looks > 0
