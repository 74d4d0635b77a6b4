"""The jobs that this process holds: a message about one of them is no reason to claim it again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import LeaseLost, StoreUnavailable
from worker.lease.lease import Lease

log = logging.getLogger(__name__)


class HeldLeases:
    """Leases by job. Made for threads.

    A worker that was cut off from the store for longer than a lease still works on its jobs. When
    it is back, messages of the reapers of other workers wait for it, and would come before its next
    heartbeat: it would take the job from itself, count a crash, and draw the last windows again.
    """

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """This process holds the job for as long as the block runs."""
        job_id = lease.claim.job.id
        self._leases[job_id] = lease
        try:
            yield
        finally:
            if self._leases.get(job_id) is lease:
                del self._leases[job_id]

    def renew(self, job_id: str) -> bool:
        """Whether the job is held here. If nobody has claimed it since, its lease lives on."""
        lease = self._leases.get(job_id)
        if lease is None:
            return False
        try:
            lease.renew()
        except LeaseLost:
            return False
        except StoreUnavailable as error:
            # Whoever finds the job abandoned sends it again.
            log.warning("cannot renew a lease: %s", error, extra={"job_id": job_id})
        return True
