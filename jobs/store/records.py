"""Reading records: one, a page of them, a tree of them."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from jobs.errors import (
    JobNotFound,
    RecordUnreadable,
)
from jobs.record.codec import (
    job_from_fields,
    to_microseconds,
)
from jobs.record.job import (
    Job,
    JobStatus,
)
from jobs.store.connection import errors_as_store_unavailable
from jobs.store.cursors import cursor_after, parse_cursor
from jobs.store.scripts import (
    ScriptRunner,
    check_id,
    filter_index_keys,
    index_key,
    job_of,
    mapping_of,
    parent_index_key,
    record_key,
    root_index_key,
)
from jobs.store.types import JobPage

log = logging.getLogger(__name__)

_MAX_CALLS_OF_A_PAGE = 20
"""Each looks at some thousand jobs at most. A page that is not full by then ends early."""


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
            jobs=tuple(_readable(mapping_of(record) for _, _, record in found[:limit])),
            next_cursor=cursor_after(*position) if position else None,
        )

    def queue_position(self, job_id: str) -> int | None:
        """How many queued jobs come before this one; None when it is not queued."""
        with errors_as_store_unavailable():
            rank = self._redis.zrank(index_key(status=JobStatus.QUEUED), job_id)
        return cast(int | None, rank)


def _readable(records: Iterable[Mapping[str, str]]) -> Iterator[Job]:
    for fields in records:
        try:
            yield job_from_fields(fields)
        except RecordUnreadable as error:
            log.warning("left out of a list: %s", error, extra={"job_id": error.job_id})
