"""Does what time alone asks for: fails what is overdue, forgets what was kept for long enough."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jobs.errors import RecordUnreadable, StoreUnavailable
from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets
from jobs.files.cleanup import remove_leftovers
from jobs.store import JobStore
from jobs.store.older_records import OlderRecordsWalk
from jobs.store.sweeps import BATCH_SIZE

log = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")

ASSETS_EVERY_SEC = 60.0
_AT_ONCE = 4
"""Jobs that are ended or tidied at the same time: most of it is waiting for the server's disk."""


class Sweeper(threading.Thread):
    """Looks every few seconds, and at once again while records of an older release are to list.

    Any number of sweepers may run, and any of them may die at any moment: the store decides in one
    step whether a job's time has come, and a file that should go is remembered there until it is
    gone. `kept_assets_sec` None keeps assets for good.
    """

    def __init__(
        self,
        store: JobStore,
        artifacts: Artifacts,
        assets: Assets,
        *,
        every_sec: float,
        kept_assets_sec: float | None = None,
    ) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._store, self._artifacts, self._assets = store, artifacts, assets
        self._every_sec, self._kept_assets_sec = every_sec, kept_assets_sec
        self._assets_swept_at: float | None = None
        self._older = OlderRecordsWalk(store)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        pause_sec = 0.0
        while not self._stopping.wait(pause_sec):
            # Also where it fails: what is away now is not asked again at once.
            pause_sec = self._every_sec
            try:
                if self.sweep():
                    pause_sec = 0.0
            except (StoreUnavailable, OSError) as error:
                log.warning("cannot sweep now: %s", error)
            except Exception:
                log.exception("sweeping failed")

    def stop(self) -> None:
        """End after the present look."""
        self._stopping.set()

    def sweep(self) -> bool:
        """One look; True when there is more to do than one look takes on.

        Raises StoreUnavailable; OSError when assets cannot be looked at.
        """
        store = self._store
        self._older.step()
        numbers_done = [
            self._end("deadline exceeded", store.overdue(), store.end_overdue),
            self._end("codes expired", store.expired_codes(), store.expire_codes),
            self._end("expired", store.expired(), store.expire),
            sum(_each(store.untidy(), lambda job: self._tidy(*job))),
        ]
        self._sweep_assets()
        # What could not be done is looked at again after a pause.
        return self._older.is_behind or max(numbers_done) >= BATCH_SIZE

    def _end(self, what: str, job_ids: list[str], end: Callable[[str], bool]) -> int:
        """Returns how many were ended."""

        def end_one(job_id: str) -> bool:
            has_ended = end(job_id)
            if has_ended:
                log.info(what, extra={"job_id": job_id})
            return has_ended

        return sum(_each(job_ids, end_one))

    def _tidy(self, job_id: str, seen: str) -> bool:
        """Whether the files are as they should be now."""
        try:
            remove_leftovers(self._store, self._artifacts, job_id)
        except (OSError, RecordUnreadable) as error:
            log.warning("files stay for now: %s", error, extra={"job_id": job_id})
            self._store.tidy_later(job_id, seen)
            return False
        self._store.tidied(job_id, seen)
        return True

    def _sweep_assets(self) -> None:
        now = time.monotonic()
        last = self._assets_swept_at
        if self._kept_assets_sec is None or (last is not None and now - last < ASSETS_EVERY_SEC):
            return
        self._assets_swept_at = now
        for asset_id in self._assets.delete_older(self._kept_assets_sec):
            log.info("asset expired", extra={"asset_id": asset_id})


def _each(items: Sequence[ItemT], do: Callable[[ItemT], bool]) -> list[bool]:
    """What `do` says of each, some at a time. The first error stops those that have not begun."""
    if len(items) < 2:
        return [do(item) for item in items]
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sweeper")
    try:
        return list(pool.map(do, items))
    finally:
        pool.shutdown(cancel_futures=True)
