"""Holding a claimed job: the lease kept alive, and the reasons to stop heard in time."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from jobs.errors import LeaseLost, StoreUnavailable
from jobs.store import Claim, JobStore
from worker.device.engine_thread import EngineThread
from worker.device.works import Pending
from worker.lease.progress import StageProgress

log = logging.getLogger(__name__)

Result = TypeVar("Result")

POLL_SEC = 0.05
MAX_RETRY_SEC = 5.0


class StageInterrupted(Exception):
    """The stage must stop before it is done, through no fault of its own."""


class JobCanceled(StageInterrupted):
    """The owner does not want the song any more."""


class WorkerDraining(StageInterrupted):
    """This process is about to end."""


class Lease:
    """One claim while this worker works on it; a context manager.

    A thread of its own sends the heartbeats, so that the lease lives whatever the task does. While
    the store cannot be reached the work goes on: the fence protects the job if the lease ends
    meanwhile.
    """

    def __init__(
        self,
        store: JobStore,
        claim: Claim,
        progress: StageProgress,
        *,
        lease_sec: float,
        heartbeat_sec: float,
        draining: threading.Event,
    ) -> None:
        self.claim, self.progress = claim, progress
        self._store = store
        self._lease_sec, self._heartbeat_sec = lease_sec, heartbeat_sec
        self._draining = draining
        self._lost = threading.Event()
        self._canceled = threading.Event()
        self._released = threading.Event()
        self._let_go = threading.Event()
        self._beating = threading.Lock()
        self._thread = threading.Thread(
            target=self._beat, name=f"heartbeat {claim.job.id}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_beating()

    def stop_beating(self) -> None:
        """No more heartbeats: the next write ends the claim. Harmless when called twice."""
        self._released.set()
        self._thread.join()

    def finish(self, change: Callable[[], None]) -> None:
        """Tell the last progress, then make the change that ends the claim.

        Raises what `write` raises.
        """
        self.stop_beating()
        self.write(self._beat_once)
        self.check()
        self.write(change)

    def go_on(self, change: Callable[[], Claim]) -> None:
        """As `finish`, but the change turns the claim into one for the next stage.

        Heartbeats go on. Raises what `write` raises.
        """
        self.write(self._beat_once)
        self.check()
        self.claim = self.write(change)

    def renew(self) -> None:
        """Tell the store at once that the job is held, not with the next heartbeat.

        A lease that has run out lives on unless somebody else claimed the job.
        Raises LeaseLost, StoreUnavailable.
        """
        self._beat_once()

    def let_go(self) -> None:
        """The task ends: its other threads should stop, too."""
        self._let_go.set()

    def check(self) -> None:
        """Return while the stage should go on.

        Raises:
            LeaseLost: another worker owns the job, or its time is up.
            JobCanceled: the owner wants it stopped.
            WorkerDraining: the process is about to end.
            StageInterrupted: another thread of the task has ended it.
        """
        if self._lost.is_set():
            raise LeaseLost(f"job {self.claim.job.id} is not this worker's any more")
        if self._canceled.is_set():
            raise JobCanceled
        if self._draining.is_set():
            raise WorkerDraining
        if self._let_go.is_set():
            raise StageInterrupted

    def wait(self, engine: EngineThread, pending: Pending) -> None:
        """Until `pending` has ended; `engine` lets go of it when the stage must stop.

        Raises what `check` raises.
        """
        try:
            self.check()
            while not pending.wait(POLL_SEC):
                self.check()
        finally:
            engine.cancel(pending)

    def write(self, change: Callable[[], Result]) -> Result:
        """Make a change in the store, as often as it takes until the store can be reached.

        Raises what `check` raises, and what `change` raises.
        """
        delay_sec = POLL_SEC
        while True:
            try:
                return change()
            except StoreUnavailable as error:
                log.warning("store away, trying again: %s", error, extra=self._extra)
            self._sleep(delay_sec)
            delay_sec = min(2 * delay_sec, MAX_RETRY_SEC)

    def _sleep(self, seconds: float) -> None:
        for _ in range(max(round(seconds / POLL_SEC), 1)):
            self.check()
            self._draining.wait(POLL_SEC)

    def _beat(self) -> None:
        delay_sec = self._heartbeat_sec
        while not self._released.wait(delay_sec):
            try:
                self._beat_once()
                delay_sec = self._heartbeat_sec
            except LeaseLost:
                self._lost.set()
                return
            except StoreUnavailable as error:
                log.warning("heartbeat not heard: %s", error, extra=self._extra)
                # Never slower than the lease needs once the store is back.
                delay_sec = min(2 * delay_sec, MAX_RETRY_SEC, self._lease_sec / 3)
            except Exception:
                log.exception("heartbeat failed", extra=self._extra)

    def _beat_once(self) -> None:
        # One at a time, or what is told later might have been seen earlier.
        with self._beating:
            now = self.progress.snapshot()
            if self._store.heartbeat(
                self.claim,
                now.levels,
                now.value,
                seconds_left=now.seconds_left,
                lease_sec=self._lease_sec,
            ):
                self._canceled.set()

    @property
    def _extra(self) -> dict[str, str]:
        return {"job_id": self.claim.job.id, "stage": self.claim.job.stage}
