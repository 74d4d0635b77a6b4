"""How much each API key has stored: counted from the files, so a crash changes nothing."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from jobs.errors import AssetNotFound, JobNotFound, StoreUnavailable
from jobs.files.artifacts import Artifacts
from jobs.files.assets import Assets

log = logging.getLogger(__name__)

_FRESH_SEC = 30.0
_COUNTS_PER_SEC = 1.0
_COUNTING_SHARE = 0.05
"""Of the time at most is spent on counting, however often somebody asks."""


class StoredBytes:
    """Counts the folders of jobs and assets by owner; any number of processes may, each for itself.

    `owner_of` gives the API key of a job and raises JobNotFound. What this process adds is known at
    once, what others add or anybody deletes within half a minute; before a refusal it is counted
    anew, unless that was done a moment ago. Files far away are counted in a thread, which nobody
    waits for: a list of a million objects takes a minute.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        assets: Assets,
        owner_of: Callable[[str], str | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._artifacts, self._assets, self._owner_of = artifacts, assets, owner_of
        self._clock = clock
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}
        self._bytes: Counter[str | None] = Counter()
        self._counted_at = -float("inf")
        self._counting_sec = 0.0
        self._added: Counter[str | None] = Counter()
        """By this process, since the count in the thread began."""
        self._thread: threading.Thread | None = None

    def has_reached(self, owner: str, limit_bytes: int, *, more_bytes: int = 0) -> bool:
        """Whether `owner` has more than the limit, or would have. Blocking.

        Raises StoreUnavailable.
        """
        with self._lock:
            if self._age_sec() > max(_FRESH_SEC, self._pause_sec()):
                self._renew()
            if self._bytes[owner] + more_bytes <= limit_bytes:
                return False
            if self._age_sec() > self._pause_sec():
                self._renew()
            return self._bytes[owner] + more_bytes > limit_bytes

    def add(self, owner: str | None, num_bytes: int) -> None:
        """This process has just written so much for `owner`."""
        with self._lock:
            self._bytes[owner] += num_bytes
            self._added[owner] += num_bytes

    def _renew(self) -> None:
        if not self._artifacts.are_far_away:
            began = self._clock()
            self._take(*self._count(), began)
        elif self._thread is None or not self._thread.is_alive():
            self._added.clear()
            self._thread = threading.Thread(target=self._count_behind, name="count", daemon=True)
            self._thread.start()

    def _count_behind(self) -> None:
        began = self._clock()
        try:
            counted, owners = self._count()
        except (StoreUnavailable, OSError) as error:
            log.warning("what is stored cannot be counted now: %s", error)
            counted, owners = self._bytes, self._owners
            self._added.clear()
        with self._lock:
            self._take(counted + self._added, owners, began)

    def _take(self, counted: Counter[str | None], owners: dict[str, str], began: float) -> None:
        self._owners, self._bytes = owners, counted
        self._counted_at = self._clock()
        self._counting_sec = self._counted_at - began

    def _age_sec(self) -> float:
        return self._clock() - self._counted_at

    def _pause_sec(self) -> float:
        return max(1.0 / _COUNTS_PER_SEC, self._counting_sec / _COUNTING_SHARE)

    def _count(self) -> tuple[Counter[str | None], dict[str, str]]:
        """Bytes by owner, and the owner of each job and asset that has one."""
        counted: Counter[str | None] = Counter()
        owners: dict[str, str] = {}
        for job_id, num_bytes in self._artifacts.stored_bytes().items():
            owner = self._owner_of_job(job_id)
            if owner is not None:
                owners[job_id] = owner
            counted[owner] += num_bytes
        for asset_id, num_bytes in self._assets.all_stored_bytes().items():
            try:
                owner = self._owner_of_asset(asset_id)
            except AssetNotFound:
                continue
            if owner is not None:
                owners[asset_id] = owner
            counted[owner] += num_bytes
        return counted, owners

    def _owner_of_job(self, job_id: str) -> str | None:
        if job_id in self._owners:
            return self._owners[job_id]
        try:
            return self._owner_of(job_id)
        except JobNotFound:  # not recorded yet, or forgotten a moment ago
            return None

    def _owner_of_asset(self, asset_id: str) -> str | None:
        if asset_id in self._owners:
            return self._owners[asset_id]
        return self._assets.get(asset_id).owner
