"""Lists of jobs: filtered, searched and sorted by the indexes of the store."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from jobs.errors import RecordUnreadable
from jobs.record.codec import job_from_fields, to_microseconds
from jobs.record.job import Job, JobStatus
from jobs.record.search_terms import FAVORITE_TERM, artist_term, genre_term, tag_term, words_of
from jobs.store.cursors import cursor_after, parse_cursor
from jobs.store.scripts import (
    ScriptRunner,
    check_id,
    filter_index_keys,
    mapping_of,
    parent_index_key,
    root_index_key,
    term_index_key,
    titles_key,
    trash_index_key,
)
from jobs.store.types import JobPage

log = logging.getLogger(__name__)

JobOrder = Literal["-created_at", "created_at", "title"]

_MAX_CALLS_OF_A_PAGE = 20
"""Each looks at some thousand jobs at most. A page that is not full by then ends early."""


class JobFilters(TypedDict, total=False):
    """What jobs of a list have in common; what is None, or not there, is no filter.

    `owner` is an API key, `root` a job with everything that goes on from it. Every word of `text`
    begins a word of the job. Moments are exclusive.
    """

    status: JobStatus | None
    model: str | None
    root: str | None
    owner: str | None
    text: str | None
    favorite: bool | None
    tag: str | None
    artist: str | None
    genre: str | None
    created_after: datetime | None
    created_before: datetime | None
    in_trash: bool


class Lists(ScriptRunner):
    """Pages of jobs. What one call costs the server is bounded, however many jobs there are."""

    def list_jobs(
        self,
        *,
        order: JobOrder = "-created_at",
        limit: int = 20,
        cursor: str | None = None,
        **filters: Unpack[JobFilters],
    ) -> JobPage:
        """Records in this order; those that cannot be read are left out.

        Jobs created, changed or deleted between two pages neither repeat nor hide the others.
        Raises InvalidCursor, also for a cursor of another order; JobNotFound for a `root` that is
        no id.
        """
        if filters.get("root") is not None:
            check_id(str(filters["root"]))
        words = words_of(filters.get("text") or "")
        if filters.get("text") and not words:
            return JobPage(jobs=(), next_cursor=None, total=0)
        return self._page(_query(filters, words, order), limit=limit, cursor=cursor)

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
        query = _query({"owner": owner}, [], "-created_at")
        indexes = [parent_index_key(job_id), *(query["indexes"] if owner is not None else ())]
        return self._page({**query, "indexes": indexes}, limit=limit, cursor=cursor)

    def _page(self, query: Mapping[str, Any], *, limit: int, cursor: str | None) -> JobPage:
        """Fewer than `limit` where such jobs are rare."""
        order = query["order"]
        position = parse_cursor(cursor, order) if cursor is not None else []
        found: list[Any] = []
        for _ in range(_MAX_CALLS_OF_A_PAGE):
            wanted = {**query, "after": position, "limit": limit + 1 - len(found)}
            more, *position = self._run("list_jobs", "", json.dumps(wanted))
            found += more
            if not position or len(found) > limit:
                break
        if len(found) > limit:
            job_id, _, *rest = found[limit - 1]
            position = rest if order == "title" else [*rest, job_id]
        return JobPage(
            jobs=tuple(_readable(mapping_of(record) for _, record, *_ in found[:limit])),
            next_cursor=cursor_after(position, order) if position else None,
            total=self._total(query),
        )

    def _total(self, query: Mapping[str, Any]) -> int | None:
        counted = self._run("list_jobs", "", json.dumps({**query, "after": [], "count": True}))
        return counted[0] if counted else None


def _query(filters: JobFilters, words: Sequence[str], order: JobOrder) -> dict[str, Any]:
    """What `lua/list_jobs.lua` reads, but for where to begin and how many."""
    in_trash = filters.get("in_trash", False)
    moments = {"oldest": filters.get("created_after"), "newest": filters.get("created_before")}
    return {
        "order": order,
        "indexes": _trash_indexes(filters) if in_trash else _indexes(filters),
        "titles": titles_key(owner=filters.get("owner"), in_trash=in_trash),
        "prefixes": list(words),
        "in_trash": in_trash,
        "equal": _fields_in_trash(filters) if in_trash else {},
        **{name: str(to_microseconds(moment)) for name, moment in moments.items() if moment},
    }


def _terms(filters: JobFilters) -> Iterator[str]:
    if filters.get("favorite"):
        yield FAVORITE_TERM
    for name, term in (("tag", tag_term), ("artist", artist_term), ("genre", genre_term)):
        text = filters.get(name)
        if text is not None:
            yield term(str(text))


def _indexes(filters: JobFilters) -> list[str]:
    """The sorted sets of which a job that passes is in every one."""
    status, model, owner = filters.get("status"), filters.get("model"), filters.get("owner")
    indexes = [term_index_key(term, owner=owner) for term in _terms(filters)]
    root = filters.get("root")
    if status is not None or model is not None or root is not None or not indexes:
        indexes += filter_index_keys(status, model, owner)
    if root is not None:
        indexes.append(root_index_key(root))
    return indexes


def _trash_indexes(filters: JobFilters) -> list[str]:
    owner = filters.get("owner")
    terms = [term_index_key(term, owner=owner, in_trash=True) for term in _terms(filters)]
    return terms or [trash_index_key(owner=owner)]


def _fields_in_trash(filters: JobFilters) -> dict[str, str]:
    """What is in the trash has no lists of its own for these: its record is asked."""
    asked = {
        "status": filters.get("status"),
        "model": filters.get("model"),
        "root_id": filters.get("root"),
    }
    return {field: value for field, value in asked.items() if value is not None}


def _readable(records: Iterable[Mapping[str, str]]) -> Iterator[Job]:
    for fields in records:
        try:
            yield job_from_fields(fields)
        except RecordUnreadable as error:
            log.warning("left out of a list: %s", error, extra={"job_id": error.job_id})
