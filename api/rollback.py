"""Taking back jobs whose client was told that they were not accepted.

A store that hangs may still write, once it wakes, the record that nobody waits for any more. The
client has its 503 and will ask again; without this the first song would be drawn as well. Only a
job that its client was given after all, through its idempotency key, stays.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from jobs.errors import IllegalTransition, JobNotFound, StoreUnavailable
from jobs.store import JobStore

_log = logging.getLogger(__name__)

_MAX_PENDING = 10_000
_NUM_CHECKS = 5
"""Looks at an answering store before a record is believed never to come."""


class Withdrawals:
    """Cancels and deletes doubtful records as soon as the store answers; one thread, when needed.

    `remove_files` deletes what lies in the folder of one. They are remembered by this process only:
    if it ends first, such a job is drawn for nobody.
    """

    def __init__(
        self, store: JobStore, remove_files: Callable[[str], None], *, retry_sec: float = 1.0
    ) -> None:
        self._store, self._remove_files, self._retry_sec = store, remove_files, retry_sec
        self._lock = threading.Lock()
        self._checks_left: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, job_id: str) -> None:
        """Take this job back. Returns at once; beyond ten thousand of them it does nothing."""
        with self._lock:
            if len(self._checks_left) >= _MAX_PENDING:
                return
            self._checks_left[job_id] = _NUM_CHECKS
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="withdrawals", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop trying; returns when the store is not used any more."""
        self._closed.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._retry_sec):
            for job_id in list(self._checks_left):
                try:
                    done = self._withdraw(job_id)
                except StoreUnavailable:
                    break
                with self._lock:
                    self._checks_left[job_id] -= 1
                    never_came = self._checks_left[job_id] <= 0
                    if done or never_came:
                        del self._checks_left[job_id]
                if never_came and not done:
                    self._forget_files(job_id)
            with self._lock:
                if not self._checks_left:
                    self._thread = None
                    return

    def _withdraw(self, job_id: str) -> bool:
        """Whether it is gone now, or has a client and stays. Raises StoreUnavailable."""
        try:
            if not self._store.disown(job_id):
                return True
            self._store.request_cancel(job_id)
            self._store.delete(job_id)
        except (JobNotFound, IllegalTransition):
            return False
        _log.info("withdrew a job that was not accepted", extra={"job_id": job_id})
        self._forget_files(job_id)
        with suppress(StoreUnavailable):
            self._store.tidied(job_id)
        return True

    def _forget_files(self, job_id: str) -> None:
        try:
            self._remove_files(job_id)
        except OSError as error:
            _log.warning("files of a job stay behind: %s", error, extra={"job_id": job_id})
