"""Puts records that an older release wrote into the lists that this release has.

It may be interrupted at any moment, and any number of processes may do it at once: what is done is
in the store, and every step of it is atomic. Older releases may run beside this one.
"""

import logging

from jobs.errors import RecordUnreadable
from jobs.record.codec import annotations_to_fields
from jobs.record.search_terms import terms_of_job
from jobs.store.connection import errors_as_store_unavailable
from jobs.store.scripts import ScriptRunner, flat, index_key, job_of, titles_key

log = logging.getLogger(__name__)

_BATCH = 200


class OlderRecords(ScriptRunner):
    """Which jobs are in no list of this release, and what is done about it."""

    def is_any_unlisted(self) -> bool:
        """Whether the list of titles, in which every job should be, has another length."""
        with errors_as_store_unavailable():
            pipeline = self._redis.pipeline()
            pipeline.zcard(index_key())
            pipeline.zcard(titles_key())
            num_jobs, num_listed = pipeline.execute()
        return bool(num_jobs != num_listed)

    def find_unlisted(self, rank: int, number: int) -> tuple[list[str], list[str], bool]:
        """Of so many jobs: those in no list, those gone from the store, and whether more come."""
        without_terms, gone, has_more = self._run("find_unlisted", "", rank, number)
        return without_terms, gone, bool(has_more)

    def list_older(self, job_id: str) -> bool:
        """Put a job that an older release wrote into the lists of this one.

        False when it is gone, was changed meanwhile, or is there already. One that cannot be read
        has no words.
        """
        record, _ = self._run("get", job_id, "")
        fields, terms = [], {"sort": ""}
        try:
            job = job_of(record)
        except RecordUnreadable as error:
            log.warning("cannot be searched: %s", error, extra={"job_id": job_id})
        else:
            names = ("title", "tags", "favorite", "notes")
            fields = flat(annotations_to_fields({name: getattr(job, name) for name in names}))
            terms = terms_of_job(job)
        reply = self._run("list_older", job_id, len(fields), *fields, *flat(terms))
        return bool(reply[0] == "ok")

    def unlist(self, job_id: str) -> None:
        """Take a job that an older release deleted out of the lists of this one."""
        self._run("unlist", job_id)


class OlderRecordsWalk:
    """Goes through all jobs once, and again whenever some are in no list."""

    def __init__(self, store: OlderRecords) -> None:
        self._store = store
        self._rank: int | None = 0

    @property
    def is_behind(self) -> bool:
        """Whether `step` has more to do at once."""
        return self._rank is not None

    def step(self) -> None:
        """Look at some more jobs. Raises StoreUnavailable."""
        if self._rank is None and not self._store.is_any_unlisted():
            return
        first = self._rank or 0
        without_terms, gone, has_more = self._store.find_unlisted(first, _BATCH)
        num_listed = sum(self._store.list_older(job_id) for job_id in without_terms)
        for job_id in gone:
            self._store.unlist(job_id)
        if num_listed:
            log.info("%d records of an older release are in the lists now", num_listed)
        self._rank = first + _BATCH if has_more else None
