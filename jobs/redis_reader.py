"""Reading the job store in Redis or Valkey; what changes it is in `jobs/redis_store.py`."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from jobs.cursors import cursor_after, parse_cursor
from jobs.errors import JobNotFound, RecordUnreadable
from jobs.lua import (
    KEY_PREFIX,
    SCRIPTS,
    filter_index_keys,
    index_key,
    parent_index_key,
    record_key,
    root_index_key,
)
from jobs.record.codec import job_from_fields, to_microseconds, worker_from_fields
from jobs.record.job import Job, JobStatus, Stage, is_job_id
from jobs.redis_connection import connect, errors_as_store_unavailable
from jobs.store import JobPage, WorkerInfo
from jobs.webhook_figures import read_figures
from jobs.webhooks.messages import WebhookFigures

log = logging.getLogger(__name__)

_MAX_CALLS_OF_A_PAGE = 20
"""Each looks at some thousand jobs at most. A page that is not full by then ends early."""


class RedisJobReader:
    """The half of `jobs.store.JobStore` that changes nothing. Made for threads."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._scripts = {name: self._redis.register_script(text) for name, text in SCRIPTS.items()}

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

    def list_jobs(
        self,
        *,
        status: JobStatus | None = None,
        model: str | None = None,
        root: str | None = None,
        owner: str | None = None,
        created_after: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """Records, newest first; those that cannot be read are left out. Raises InvalidCursor.

        `root` asks for one job and everything that goes on from it, `owner` for what one API key
        asked for. Jobs created or deleted between
        two pages neither repeat nor hide the others.
        """
        oldest = f"({to_microseconds(created_after)}" if created_after is not None else "-inf"
        indexes = filter_index_keys(status, model, owner)
        if root is not None:
            check_id(root)
            indexes.append(root_index_key(root))
        return self._page(indexes, oldest, limit=limit, cursor=cursor)

    def children(
        self,
        job_id: str,
        *,
        owner: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """The jobs that go on from this one, newest first; also when it is deleted.

        Raises JobNotFound for what is no id, InvalidCursor.
        """
        check_id(job_id)
        indexes = [parent_index_key(job_id)]
        if owner is not None:
            indexes.append(index_key(owner=owner))
        return self._page(indexes, "-inf", limit=limit, cursor=cursor)

    def _page(
        self, indexes: Sequence[str], oldest: str, *, limit: int, cursor: str | None
    ) -> JobPage:
        """The jobs that are in all of these indexes; fewer than `limit` where they are rare."""
        position = [*parse_cursor(cursor)] if cursor is not None else ["+inf", ""]
        found: list[Any] = []
        for _ in range(_MAX_CALLS_OF_A_PAGE):
            newest, after_id = position
            wanted = limit + 1 - len(found)
            more, *position = self._run("list_jobs", newest, oldest, after_id, wanted, *indexes)
            found += more
            if not position or len(found) > limit:
                break
        if len(found) > limit:
            last_id, created_us, _ = found[limit - 1]
            position = [created_us, last_id]
        return JobPage(
            jobs=tuple(_readable(_mapping(record) for _, _, record in found[:limit])),
            next_cursor=cursor_after(*position) if position else None,
        )

    def queue_position(self, job_id: str) -> int | None:
        """How many queued jobs come before this one; None when it is not queued."""
        with errors_as_store_unavailable():
            rank = self._redis.zrank(index_key(status=JobStatus.QUEUED), job_id)
        return cast(int | None, rank)

    def rates(self, model: str) -> Mapping[Stage, float]:
        """Mean tokens per second of each stage that has been measured."""
        with errors_as_store_unavailable():
            rates = cast(dict[str, str], self._redis.hgetall(f"{KEY_PREFIX}rates:{model}"))
        return {Stage(stage): float(rate) for stage, rate in rates.items() if stage in set(Stage)}

    def workers(self) -> list[WorkerInfo]:
        """Workers heard of within their ttl, by name."""
        workers = [worker_from_fields(*entry) for entry in self._run("workers")]
        return sorted(workers, key=lambda worker: worker.name)

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs have each status; all statuses are there."""
        with errors_as_store_unavailable(), self._redis.pipeline(transaction=True) as pipeline:
            for status in JobStatus:
                pipeline.zcard(index_key(status=status))
            counts = pipeline.execute()
        return dict(zip(JobStatus, counts, strict=True))

    def oldest_queued(self) -> datetime | None:
        """When the first of the queued jobs was created; None when none is queued."""
        with errors_as_store_unavailable():
            found = self._redis.zrange(index_key(status=JobStatus.QUEUED), 0, 0, withscores=True)
        first = cast(list[tuple[str, float]], found)
        return datetime.fromtimestamp(first[0][1] / 1e6, UTC) if first else None

    def webhook_figures(self) -> WebhookFigures:
        """How many webhooks wait, and how attempts to send one have ended."""
        with errors_as_store_unavailable():
            return read_figures(self._redis)

    def ping(self) -> None:
        """Raise StoreUnavailable unless the server answers."""
        with errors_as_store_unavailable():
            self._redis.ping()

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        self._redis.close()

    def _run(self, script: str, *arguments: str | int | float) -> Any:  # noqa: ANN401  (a reply)
        with errors_as_store_unavailable():
            return self._scripts[script](args=arguments)


def check_id(job_id: str) -> None:
    """A malformed id must never become a key. Raises JobNotFound."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id)


def job_of(flat: Sequence[str], windows: Sequence[str] | None = None) -> Job:
    """A record, and its windows, as a script returns them. Raises RecordUnreadable."""
    return job_from_fields(_mapping(flat), None if windows is None else _mapping(windows))


def _mapping(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _readable(records: Iterable[Mapping[str, str]]) -> Iterator[Job]:
    for fields in records:
        try:
            yield job_from_fields(fields)
        except RecordUnreadable as error:
            log.warning("left out of a list: %s", error, extra={"job_id": error.job_id})
