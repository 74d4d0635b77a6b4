"""Reading one record. `jobs/store/lists.py` reads many."""

from collections.abc import Sequence
from typing import cast

from jobs.errors import JobInTrash, JobNotFound
from jobs.record.codec import from_microseconds
from jobs.record.job import Job, JobStatus
from jobs.store.connection import errors_as_store_unavailable
from jobs.store.scripts import ScriptRunner, check_id, index_key, job_of, record_key


class Records(ScriptRunner):
    """What changes nothing."""

    def get(self, job_id: str, *, with_windows: bool = False) -> Job:
        """The record now; without its windows it costs the same for a song of any length.

        Raises JobNotFound, RecordUnreadable.
        """
        check_id(job_id)
        record, windows = self._run("get", job_id, "1" if with_windows else "")
        if not record:
            raise JobNotFound(job_id)
        return job_of(record, windows if with_windows else None)

    def owner_of(self, job_id: str) -> str | None:
        """The API key that asked for a job; None where none was needed. Raises JobNotFound."""
        check_id(job_id)
        with errors_as_store_unavailable():
            found = self._redis.hmget(record_key(job_id), ["id", "owner"])
        known_id, owner = cast(list[str | None], found)
        if known_id is None:
            raise JobNotFound(job_id)
        return owner

    def check_access(self, job_id: str) -> str | None:
        """Its owner, if it can be used now.

        Raises JobNotFound, and JobInTrash with its owner as `owner` when it was deleted.
        """
        check_id(job_id)
        with errors_as_store_unavailable():
            fields = ["id", "owner", "deleted_at", "expires_at"]
            found = self._redis.hmget(record_key(job_id), fields)
        known_id, owner, deleted_at, expires_at = cast(list[str | None], found)
        if known_id is None:
            raise JobNotFound(job_id)
        if deleted_at is not None:
            raise JobInTrash(job_id, owner, until=from_microseconds(expires_at or deleted_at))
        return owner

    def queue_positions(self, job_ids: Sequence[str]) -> list[int | None]:
        """The same for many jobs, in one round trip."""
        with errors_as_store_unavailable(), self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.zrank(index_key(status=JobStatus.QUEUED), job_id)
            return pipeline.execute() if job_ids else []

    def queue_position(self, job_id: str) -> int | None:
        """How many queued jobs come before this one; None when it is not queued."""
        with errors_as_store_unavailable():
            rank = self._redis.zrank(index_key(status=JobStatus.QUEUED), job_id)
        return cast(int | None, rank)
