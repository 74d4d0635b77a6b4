"""The job store in Redis or Valkey: each method is one script on the server (`jobs/lua.py`)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    JobNotFound,
    LeaseLost,
    LimitReached,
    NotRetryable,
    RecordUnreadable,
)
from jobs.idempotency import KEPT_SEC, IdempotencyKey
from jobs.limits import NO_LIMITS, JobLimits
from jobs.lua import (
    RATE_WEIGHT,
    idempotency_key,
)
from jobs.record.codec import (
    job_to_fields,
    output_field,
    to_json,
    to_microseconds,
    window_field,
    worker_to_json,
)
from jobs.record.job import (
    CodesFile,
    Job,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelProgress,
    Output,
    Stage,
    is_job_id,
)
from jobs.redis_lifetimes import RedisLifetimes
from jobs.redis_reader import check_id, job_of
from jobs.redis_watcher import RedisJobWatcher
from jobs.store import Claim, DueJob, WorkerInfo

log = logging.getLogger(__name__)

_LIMIT_RETRY_SEC = 30.0
"""A place in a queue is free again when a song is done, which takes minutes rather than seconds."""

__all__ = ["RedisJobStore", "RedisJobWatcher"]


class RedisJobStore(RedisLifetimes):
    """Implements `jobs.store.JobStore`. Made for threads; connects when first used.

    A job that nobody holds is due again `resend_after_sec` after its last message should have
    been sent. An idempotency key is remembered for `keys_kept_sec`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        max_attempts: int = 3,
        resend_after_sec: float = 10.0,
        keys_kept_sec: float = KEPT_SEC,
    ) -> None:
        super().__init__(redis_url, keys_kept_sec=keys_kept_sec)
        self._max_attempts = max_attempts
        self._resend_us = _microseconds(resend_after_sec)

    def create(
        self,
        job: Job,
        *,
        idempotency: IdempotencyKey | None = None,
        limits: JobLimits = NO_LIMITS,
    ) -> Job:
        """Write a new record, or find the one that was written before with this key.

        Raises IdempotencyKeyReused, LimitReached, and IllegalTransition when the job is not queued
        or its id is taken.
        """
        if not is_job_id(job.id):
            raise ValueError(f"{job.id!r} was not made by new_job_id")
        if job.status is not JobStatus.QUEUED:
            raise IllegalTransition(job.id, job.status, "created")
        fields = job_to_fields(job).items()
        reply = self._run(
            "create",
            job.id,
            to_microseconds(job.created_at),
            job.request.model,
            self._resend_us,
            *_words_of_key(idempotency),
            self._keys_kept_ms,
            job.owner or "",
            *_words_of_limits(limits),
            round(job.drawn_audio_sec * 1000),
            limits.max_audio_sec_per_owner * 1000,
            *(word for field in fields for word in field),
        )
        if reply[0] == "refused":
            raise IllegalTransition(job.id, reply[1], "created again")
        _raise_limit(reply)
        if reply[0] == "reused" and idempotency is not None:
            return self.replay(idempotency) or job
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

    def delete(self, job_id: str) -> None:
        """Forget a job in a terminal status, and its key; its files become untidy.

        Raises JobNotFound, IllegalTransition.
        """
        check_id(job_id)
        reply = self._run("delete", job_id)
        if reply[0] == "missing":
            raise JobNotFound(job_id)
        if reply[0] == "refused":
            raise IllegalTransition(job_id, reply[1], "deleted")

    def claim(self, job_id: str, stage: Stage, *, worker: str, lease_sec: float) -> Claim | None:
        """Take a job that nobody holds and that waits at `stage`; None when there is none such.

        A job to be canceled becomes canceled instead, one with too many crashes failed, and so does
        one whose deadline has passed. A job that this release cannot run stays as it is.
        """
        if not self._can_run(job_id):
            return None
        error = JobError(
            code="too_many_crashes",
            message=f"the worker died {self._max_attempts} times in a row while it ran this job",
            retryable=True,
        )
        lease_us = _microseconds(lease_sec)
        reply = self._run(
            "claim", job_id, stage, worker, lease_us, self._max_attempts, to_json(error)
        )
        if reply[0] == "none":
            return None
        fence = int(reply[1])
        try:
            return Claim(job=job_of(reply[2], reply[3]), fence=fence, worker=worker)
        except RecordUnreadable as unreadable:
            log.warning("given back: %s", unreadable, extra={"job_id": job_id})
            self._run("release", job_id, fence, self._resend_us)
            return None

    def _can_run(self, job_id: str) -> bool:
        """Whether this release can run the job; asked before a claim counts as an attempt.

        What decides it never changes: a request, and the format of the record.
        """
        try:
            needs_newer_release = self.get(job_id).needs_newer_release
        except JobNotFound:
            return False
        except RecordUnreadable as error:
            log.warning("not claimed: %s", error, extra={"job_id": job_id})
            return False
        if needs_newer_release:
            log.warning("left to a worker of a newer release", extra={"job_id": job_id})
        return not needs_newer_release

    def heartbeat(
        self, claim: Claim, progress: Mapping[str, LevelProgress], value: float, *, lease_sec: float
    ) -> bool:
        """Renew the lease and write progress; True when cancel was requested.

        Raises LeaseLost, also for a job that fails now because its deadline has passed.
        `value` is kept between 0 and 1 and never goes back.
        """
        parts = [word for level, part in progress.items() for word in (level, to_json(part))]
        kept_value = repr(min(max(float(value), 0.0), 1.0))
        lease_us = _microseconds(lease_sec)
        reply = self._run_as_owner("heartbeat", claim, lease_us, kept_value, *parts)
        return bool(reply[1] == JobStatus.CANCELING)

    def record_window(self, claim: Claim, codes: CodesFile) -> None:
        """Add one kept window, or replace the one that began there. Raises LeaseLost."""
        self._run_as_owner("record_window", claim, window_field(codes), to_json(codes))

    def record_prompt(self, claim: Claim, codes_name: str) -> None:
        """The codes of the job's audio prompt are in this file. Raises LeaseLost."""
        self._run_as_owner("set_fields", claim, "prompt_codes_name", codes_name)

    def record_means(self, claim: Claim, *, step: str, weights: str) -> None:
        """The job is begun with this kind of step and of weights. Raises LeaseLost."""
        self._run_as_owner("set_fields", claim, "step", step, "weights", weights)

    def forget_windows(self, claim: Claim, names: Sequence[str]) -> None:
        """Take windows whose files are gone or corrupt out of the record. Raises LeaseLost."""
        self._run_as_owner("forget_windows", claim, *names)

    def record_outputs(self, claim: Claim, outputs: Sequence[Output]) -> None:
        """Add sound files; one with the same level and sample is replaced. Raises LeaseLost."""
        self._run_as_owner("record_outputs", claim, *(word for o in outputs for word in _words(o)))

    def finish_stage(
        self, claim: Claim, next_stage: Stage, *, metrics: LevelMetrics, codes_name: str
    ) -> None:
        """A level is done: keep its figures, release the lease, wait for `next_stage`.

        A job that waits to be canceled becomes canceled. Raises LeaseLost, and IllegalTransition
        when `next_stage` does not follow the claimed one.
        """
        _require_next(claim, next_stage)
        words = (next_stage, to_json(metrics), codes_name, self._resend_us, claim.job.stage)
        self._run_as_owner("finish_stage", claim, *words)

    def go_on(
        self,
        claim: Claim,
        next_stage: Stage,
        *,
        metrics: LevelMetrics,
        codes_name: str,
        lease_sec: float,
    ) -> Claim:
        """A level is done, and the holder keeps the job for `next_stage`: the claim for that.

        The fence stays, and so do the rights of the claim before. Done twice it is done once.
        Raises LeaseLost, and IllegalTransition when `next_stage` does not follow the claimed one.
        """
        _require_next(claim, next_stage)
        lease_us = _microseconds(lease_sec)
        words = (next_stage, to_json(metrics), codes_name, lease_us, claim.job.stage)
        reply = self._run_as_owner("go_on", claim, *words)
        return Claim(job=job_of(reply[1], reply[2]), fence=claim.fence, worker=claim.worker)

    def succeed(self, claim: Claim) -> None:
        """End as succeeded with progress 1.0. Raises LeaseLost."""
        self._finish(claim, JobStatus.SUCCEEDED, "progress_value", "1.0")

    def fail(self, claim: Claim, error: JobError) -> None:
        """End as failed. Raises LeaseLost."""
        self._finish(claim, JobStatus.FAILED, "error", to_json(error))

    def cancel(self, claim: Claim) -> None:
        """End as canceled. Raises LeaseLost, and IllegalTransition when nobody asked for it."""
        self._finish(claim, JobStatus.CANCELED)

    def release(self, claim: Claim) -> None:
        """Give the job back unfinished (a stopping worker); no crash is counted.

        A job that waits to be canceled becomes canceled. Raises LeaseLost.
        """
        self._run_as_owner("release", claim, self._resend_us)

    def due(self, *, limit: int = 100) -> list[DueJob]:
        """Jobs whose lease has run out or whose message seems lost, longest overdue first."""
        return [
            DueJob(
                job_id=job_id,
                stage=Stage(stage),
                status=JobStatus(status),
                is_abandoned=bool(lease),
                num_looks=int(num_looks),
            )
            for job_id, stage, status, lease, num_looks in self._run("due", limit)
        ]

    def postpone(self, job_id: str, seconds: float) -> None:
        """Do not report this job as due again before `seconds` have passed."""
        self._run("postpone", job_id, _microseconds(seconds))

    def record_rate(self, model: str, stage: Stage, tokens_per_second: float) -> None:
        """Fold a measured speed into the running mean of a model's stage."""
        self._run("record_rate", model, stage, repr(float(tokens_per_second)), RATE_WEIGHT)

    def announce_worker(self, worker: WorkerInfo, *, ttl_sec: float) -> None:
        """Say that a worker lives; forgotten after `ttl_sec` without another word.

        The server's clock tells `seen_at`, not the worker's.
        """
        self._run("announce_worker", worker.name, worker_to_json(worker), _microseconds(ttl_sec))

    def _run_as_owner(self, script: str, claim: Claim, *arguments: str | int) -> list[Any]:
        """Run a script that writes with the claim's fence. Raises LeaseLost."""
        reply: list[Any] = self._run(script, claim.job.id, claim.fence, *arguments)
        if reply[0] == "lost":
            raise LeaseLost(
                f"{claim.worker} does not own job {claim.job.id} any more (fence {claim.fence})"
            )
        return reply

    def _finish(self, claim: Claim, status: JobStatus, *field: str) -> None:
        reply = self._run_as_owner("finish", claim, status, *field)
        if reply[0] == "refused":
            raise IllegalTransition(claim.job.id, reply[1], status)


def _require_next(claim: Claim, next_stage: Stage) -> None:
    if claim.job.next_stage() != next_stage:
        raise IllegalTransition(claim.job.id, f"at {claim.job.stage}", f"sent to {next_stage}")


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


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


def _words(output: Output) -> Iterable[str]:
    event = {"level": output.level, "sample": output.sample}
    return output_field(output), to_json(output), to_json(event)
