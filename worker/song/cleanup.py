"""Deleting what nobody will ever name: files of claims that are over."""

import logging

from jobs.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from jobs.files.cleanup import names_to_keep
from worker.parts import WorkerParts

log = logging.getLogger(__name__)


def tidy(worker: WorkerParts, job_id: str, *, fence: int | None = None) -> None:
    """Delete files of the claim with this fence that the record does not name.

    That claim must be over, so that none of its files can be recorded any more. When the job has
    ended, the files of all its claims are looked at; without a `fence`, only then. What cannot be
    done now is left: it only takes room until the job is deleted.
    """
    try:
        _tidy(worker, job_id, fence)
    except (StoreUnavailable, RecordUnreadable, OSError) as error:
        log.warning("files may be left over: %s", error, extra={"job_id": job_id})


def _tidy(worker: WorkerParts, job_id: str, fence: int | None) -> None:
    fences = range(0) if fence is None else range(fence, fence + 1)
    try:
        job = worker.store.get(job_id, with_windows=True)
    except JobNotFound:
        worker.artifacts.prune(job_id, set(), fences=fences)
        worker.artifacts.remove_if_empty(job_id)
        return
    if job.is_terminal:
        fences = range(job.fence + 1)
    if fences:
        worker.artifacts.prune(job_id, names_to_keep(job), fences=fences)
