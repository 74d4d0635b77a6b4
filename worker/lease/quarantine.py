"""Songs that a worker died with: perhaps by chance, perhaps because of the song."""

import threading

from jobs.record.job import Job


class Quarantine:
    """Lets at most one suspect draw at a time, so that one song that kills workers is found out.

    A worker that dies takes all its songs along, and each counts a crash. Were they all begun again
    together, they would die together until all have failed. Songs of which a window was kept since
    are not suspected any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: str | None = None

    def admit(self, job: Job) -> bool:
        """Whether this job may be claimed now; others have to wait for the suspect to `leave`."""
        # A lease that nobody gave back is one that runs, or a crash that nobody has counted yet.
        if not job.crashes and job.lease_expires_at is None:
            return True
        with self._lock:
            if self._present is not None:
                return False
            self._present = job.id
            return True

    def leave(self, job_id: str) -> None:
        """This job is harmless, or away. Does nothing for one that was no suspect."""
        with self._lock:
            if self._present == job_id:
                self._present = None
