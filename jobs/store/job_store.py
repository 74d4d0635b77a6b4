"""The job store of API and workers, in Redis or Valkey."""

from jobs.idempotency import KEPT_SEC
from jobs.store.access import Access
from jobs.store.claims import Claims
from jobs.store.fleet import Fleet
from jobs.store.lists import Lists
from jobs.store.older_records import OlderRecords
from jobs.store.records import Records
from jobs.store.scripts import OnEnded, microseconds
from jobs.store.submissions import Submissions
from jobs.store.sweeps import Sweeps


class JobStore(Records, Lists, OlderRecords, Submissions, Claims, Sweeps, Fleet, Access):
    """Everything that is done with records, over one connection. Made for threads.

    Each method that changes anything is one atomic step on the server, which also tells the time.
    All raise StoreUnavailable when the server cannot be reached. A job that nobody holds is due
    again `resend_after_sec` after its last message should have been sent. An idempotency key is
    remembered for `keys_kept_sec`. `on_ended` is called for jobs that a claim, a heartbeat or a
    sweep ends: after too many crashes, past the deadline, or canceled without a worker.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        max_attempts: int = 3,
        resend_after_sec: float = 10.0,
        keys_kept_sec: float = KEPT_SEC,
        on_ended: OnEnded = lambda _status, _code: None,
    ) -> None:
        super().__init__(redis_url, on_ended=on_ended)
        self._max_attempts = max_attempts
        self._resend_us = microseconds(resend_after_sec)
        self._keys_kept_ms = round(keys_kept_sec * 1000)
