"""What clients do with jobs: ask for one, cancel, retry, pin and delete it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobs.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    JobNotFound,
    LimitReached,
    NotRetryable,
)
from jobs.idempotency import IdempotencyKey
from jobs.limits import NO_LIMITS, JobLimits
from jobs.record.codec import (
    annotations_to_fields,
    from_microseconds,
    job_to_fields,
)
from jobs.record.job import (
    Job,
    JobStatus,
    is_job_id,
)
from jobs.record.search_terms import terms_of_annotations, terms_of_job
from jobs.store.scripts import (
    ScriptRunner,
    check_id,
    flat,
    idempotency_key,
    job_of,
    microseconds,
)

_LIMIT_RETRY_SEC = 30.0
"""A place in a queue is free again when a song is done, which takes minutes rather than seconds."""


class Submissions(ScriptRunner):
    """Each method is one atomic step, limits and idempotency keys included."""

    _keys_kept_ms: int
    _resend_us: int

    def create(
        self,
        job: Job,
        *,
        idempotency: IdempotencyKey | None = None,
        limits: JobLimits = NO_LIMITS,
        is_created_now: bool = False,
    ) -> Job:
        """Write a new record, or find the one that was written before with this key.

        With `is_created_now` the server's clock tells `created_at`, as it does all later moments.
        Raises IdempotencyKeyReused, LimitReached, and IllegalTransition when the job is not queued
        or its id is taken.
        """
        if not is_job_id(job.id):
            raise ValueError(f"{job.id!r} was not made by new_job_id")
        if job.status is not JobStatus.QUEUED:
            raise IllegalTransition(job.id, job.status, "created")
        dates = {"created_at": ""} if is_created_now else {}
        terms, fields = flat(terms_of_job(job)), flat(job_to_fields(job) | dates)
        reply = self._run(
            "create",
            job.id,
            self._resend_us,
            *_words_of_key(idempotency),
            self._keys_kept_ms,
            job.owner or "",
            *_words_of_limits(limits),
            round(job.drawn_audio_sec * 1000),
            limits.max_audio_sec_per_owner * 1000,
            len(terms),
            *terms,
            *fields,
        )
        if reply[0] == "refused":
            raise IllegalTransition(job.id, reply[1], "created again")
        _raise_limit(reply)
        if reply[0] == "reused" and idempotency is not None:
            return self.replay(idempotency) or job
        if reply[0] == "ok":
            return replace(job, created_at=from_microseconds(reply[1]))
        return _replayed(reply) or job

    def take_token(self, owner: str, *, per_minute: int, kind: str = "post") -> None:
        """Count one request of an API key. Raises LimitReached when there were too many lately."""
        wait_us = int(self._run("take_token", "", f"{kind}:{owner}", per_minute))
        if wait_us > 0:
            raise LimitReached("rate_limited", per_minute, retry_after_sec=wait_us / 1e6)

    def replay(self, idempotency: IdempotencyKey) -> Job | None:
        """The job that was created with this key; None when there is none.

        Raises IdempotencyKeyReused.
        """
        key, request_sha256 = _words_of_key(idempotency)
        reply = self._run("replay", "", key, request_sha256)
        if reply[0] == "reused" and idempotency.previous_sha256:
            reply = self._run("replay", "", key, idempotency.previous_sha256)
        return _replayed(reply)

    def disown(self, job_id: str) -> bool:
        """Make sure that nobody is given this job through its idempotency key from now on.

        False when somebody has been: then it has a client, and must stay. Raises JobNotFound.
        """
        check_id(job_id)
        reply = self._run("disown", job_id)
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return bool(reply[0] == "ok")

    def request_cancel(self, job_id: str) -> Job:
        """A queued job becomes canceled, a running one canceling; others stay as they are.

        A job that no worker holds at the moment becomes canceled at once. Raises JobNotFound.
        """
        check_id(job_id)
        reply = self._run("request_cancel", job_id)
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return job_of(reply[1])

    def retry(
        self,
        job_id: str,
        *,
        idempotency: IdempotencyKey | None = None,
        limits: JobLimits = NO_LIMITS,
    ) -> tuple[Job, bool]:
        """A job that failed waits again at its stage, with all that was drawn; `attempt` is 1.

        Its deadline is as far away as at first. Returns the job, and whether it was retried before
        with the same key: then nothing happens. Raises JobNotFound, LimitReached,
        IdempotencyKeyReused, and NotRetryable unless it failed with a retryable error.
        """
        check_id(job_id)
        reply = self._run(
            "retry",
            job_id,
            self._resend_us,
            *_words_of_key(idempotency),
            self._keys_kept_ms,
            *_words_of_limits(limits),
            limits.max_audio_sec_per_owner * 1000,
        )
        _raise_limit(reply)
        earlier = _replayed(reply)
        if earlier is not None:
            return earlier, True
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        if reply[0] != "ok":
            raise NotRetryable(job_id, reply[1] if reply[0] == "refused" else JobStatus.FAILED)
        return job_of(reply[1]), False

    def delete(self, job_id: str, *, trash_sec: float = 0.0) -> bool:
        """Move a job in a terminal status to the trash, or forget it: then its files are untidy.

        It is forgotten without `trash_sec`, and if it is in the trash already. Its idempotency key
        is free in either case. Returns whether it is forgotten. Raises JobNotFound,
        IllegalTransition.
        """
        check_id(job_id)
        reply = self._run("delete", job_id, microseconds(trash_sec) if trash_sec > 0.0 else "")
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        if reply[0] == "refused":
            raise IllegalTransition(job_id, reply[1], "deleted")
        return bool(reply[0] == "forgotten")

    def restore(self, job_id: str) -> Job:
        """Take a job out of the trash, if it is there; from then on its time counts anew.

        Raises JobNotFound.
        """
        check_id(job_id)
        reply = self._run("restore", job_id)
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return job_of(reply[1])

    def set_pinned(self, job_id: str, is_pinned: bool) -> Job:
        """Keep a job until it is unpinned; from then on its time counts anew. Raises JobNotFound.

        Nothing changes for one that is pinned, or is not, already.
        """
        check_id(job_id)
        reply = self._run("pin", job_id, "1" if is_pinned else "")
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return job_of(reply[1])

    def annotate(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        """Set some fields of `Annotations`, whatever the job's status. Raises JobNotFound.

        Each field is written alone, so that what others write at the same time stays.
        """
        check_id(job_id)
        fields, terms = flat(annotations_to_fields(changes)), flat(terms_of_annotations(changes))
        reply = self._run("annotate", job_id, len(fields), *fields, *terms)
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        return job_of(reply[1])

    def remembered(self, idempotency: IdempotencyKey) -> str | None:
        """What this key stands for, when it is no job. Raises IdempotencyKeyReused."""
        return self._remember(idempotency, "", "")

    def remember(self, idempotency: IdempotencyKey, what: str, *, gone: str = "") -> str:
        """Let a key stand for `what`; returns what it stood for before, unless that was `gone`.

        Raises IdempotencyKeyReused.
        """
        return self._remember(idempotency, what, gone) or what

    def _remember(self, idempotency: IdempotencyKey, what: str, gone: str) -> str | None:
        key = idempotency_key(idempotency.digest)
        words = (key, idempotency.request_sha256, self._keys_kept_ms, what, gone)
        reply = self._run("remember", "", *words)
        if reply[0] == "reused":
            raise IdempotencyKeyReused("this idempotency key was sent before, with another request")
        return str(reply[1]) if reply[0] == "replayed" else None


def _words_of_key(idempotency: IdempotencyKey | None) -> tuple[str, str]:
    if idempotency is None:
        return "", ""
    return idempotency_key(idempotency.digest), idempotency.request_sha256


def _words_of_limits(limits: JobLimits) -> tuple[int, int, int]:
    return limits.max_queued, limits.max_queued_per_owner, limits.max_running_per_owner


def _raise_limit(reply: Sequence[Any]) -> None:
    if reply[0] == "limit":
        wait_sec = int(reply[3]) / 1e6 if len(reply) > 3 else _LIMIT_RETRY_SEC
        raise LimitReached(reply[1], int(reply[2]), retry_after_sec=wait_sec)


def _replayed(reply: Sequence[Any]) -> Job | None:
    if reply[0] == "reused":
        raise IdempotencyKeyReused("this idempotency key was sent before, with another request")
    return job_of(reply[1]) if reply[0] == "replayed" else None
