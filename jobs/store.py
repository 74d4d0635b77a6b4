"""Where job records live: the interface that API and workers share.

`jobs/redis_store.py` is the one implementation; every method there is one atomic step on the
server, which also tells the time. Each raises `StoreUnavailable` when the server cannot be reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from jobs.idempotency import IdempotencyKey
from jobs.limits import NO_LIMITS, JobLimits
from jobs.record.job import (
    CodesFile,
    Job,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelProgress,
    Output,
    Stage,
)
from jobs.webhooks.messages import WebhookFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write a job, until the lease ends or somebody claims it after that.

    `fence` is sent with every write; the store refuses writes with an older one.
    """

    job: Job
    fence: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some records, newest first. `next_cursor` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job; `id` orders events of one job.

    `kind` is `status`, `progress`, `output` or `stage`.
    """

    id: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job that nobody holds although something should happen to it.

    `is_abandoned`: its worker died, so no message waits for it unless it was sent again since.
    `num_looks` is how often it was postponed since it was last held or queued.
    """

    job_id: str
    stage: Stage
    status: JobStatus
    is_abandoned: bool
    num_looks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker that has been heard of lately."""

    name: str
    device: str
    models: tuple[str, ...]
    stages: tuple[Stage, ...]
    seen_at: datetime


class JobStore(Protocol):
    """All that API and workers do with records. Blocking; made for threads."""

    def create(
        self,
        job: Job,
        *,
        idempotency: IdempotencyKey | None = None,
        limits: JobLimits = NO_LIMITS,
    ) -> Job:
        """Write a new record, status queued, and its place in the queue; returns it.

        With a key that was sent before, in the same atomic step: nothing is written, and the job
        of that time is returned. Raises IdempotencyKeyReused when the request was another, and
        LimitReached.
        """

    def take_token(self, owner: str, *, per_minute: int, kind: str = "post") -> None:
        """Count one request of an API key; tokens come back evenly. Raises LimitReached."""

    def replay(self, idempotency: IdempotencyKey) -> Job | None:
        """The job that was created with this key, if any. Raises IdempotencyKeyReused."""

    def disown(self, job_id: str) -> bool:
        """Free a job's key, unless somebody was given the job through it: then False.

        Raises JobNotFound.
        """

    def get(self, job_id: str, *, with_windows: bool = False) -> Job:
        """The record now, with its windows where they are needed. Raises JobNotFound."""

    def owner_of(self, job_id: str) -> str | None:
        """The API key that asked for a job, if it was asked with one. Raises JobNotFound."""

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
        """Records, newest first; `root`: one job and all that goes on from it; `owner`: of one key.

        Raises InvalidCursor.
        """

    def children(
        self,
        job_id: str,
        *,
        owner: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """The jobs that go on from this one, newest first. Raises InvalidCursor."""

    def queue_position(self, job_id: str) -> int | None:
        """How many queued jobs come before this one; None when it is not queued."""

    def request_cancel(self, job_id: str) -> Job:
        """A queued job becomes canceled, a running one canceling; others stay as they are.

        Raises JobNotFound.
        """

    def retry(
        self,
        job_id: str,
        *,
        idempotency: IdempotencyKey | None = None,
        limits: JobLimits = NO_LIMITS,
    ) -> tuple[Job, bool]:
        """Queue a failed job again at its stage, with what was drawn; its attempts count anew.

        Returns the job, and whether that was done before, with the same key. Raises JobNotFound,
        NotRetryable, LimitReached, IdempotencyKeyReused.
        """

    def delete(self, job_id: str) -> None:
        """Forget a job in a terminal status; its files are untidy until somebody has `tidied`.

        Raises JobNotFound, IllegalTransition.
        """

    def set_pinned(self, job_id: str, is_pinned: bool) -> Job:
        """Keep a job until it is unpinned; then its time counts anew. Raises JobNotFound."""

    def overdue(self) -> list[str]:
        """Some jobs whose deadline has passed."""

    def end_overdue(self, job_id: str) -> bool:
        """Fail a job whose deadline has passed, or say False."""

    def expired(self) -> list[str]:
        """Some jobs that have been kept for long enough."""

    def expire(self, job_id: str) -> bool:
        """Forget a job that has been kept for long enough, or say False."""

    def expired_codes(self) -> list[str]:
        """Some jobs whose codes have been kept for long enough."""

    def expire_codes(self, job_id: str) -> bool:
        """Forget the codes of such a job, or say False."""

    def untidy(self) -> list[tuple[str, str]]:
        """Some jobs, there or forgotten, with files to look at; each with a word for `tidied`."""

    def tidied(self, job_id: str, seen: str = "") -> None:
        """Its files were looked at after it was `seen` so; without that, it is untidy no more."""

    def tidy_later(self, job_id: str, seen: str) -> None:
        """Its files could not be looked at: it stays untidy, behind the others."""

    def remembered(self, idempotency: IdempotencyKey) -> str | None:
        """What this key stands for, when it is no job. Raises IdempotencyKeyReused."""

    def remember(self, idempotency: IdempotencyKey, what: str, *, gone: str = "") -> str:
        """Let a key stand for `what`; returns what it stood for before, unless that was `gone`.

        Raises IdempotencyKeyReused.
        """

    def claim(self, job_id: str, stage: Stage, *, worker: str, lease_sec: float) -> Claim | None:
        """Take a job that is queued, or running with its lease released or expired, at `stage`.

        None when there is nothing to do: another worker holds it, it ended, it is gone, its stage
        is another one, or this message came twice. An expired lease counts as a crash: `attempt`
        rises, and after `max_attempts` crashes without a window kept in between the job fails with
        `too_many_crashes`.
        """

    def heartbeat(
        self, claim: Claim, progress: Mapping[str, LevelProgress], value: float, *, lease_sec: float
    ) -> bool:
        """Renew the lease and write progress; True when cancel was requested.

        Raises LeaseLost, also when the job's deadline has passed and it fails for that.
        """

    def record_window(self, claim: Claim, codes: CodesFile) -> None:
        """Add one kept window to the record. Raises LeaseLost."""

    def record_prompt(self, claim: Claim, codes_name: str) -> None:
        """The codes of the job's audio prompt are in this file. Raises LeaseLost."""

    def record_means(self, claim: Claim, *, step: str, weights: str) -> None:
        """The job is begun with this kind of step and of weights. Raises LeaseLost."""

    def forget_windows(self, claim: Claim, names: Sequence[str]) -> None:
        """Take windows whose files are gone or corrupt out of the record. Raises LeaseLost."""

    def record_outputs(self, claim: Claim, outputs: Sequence[Output]) -> None:
        """Add sound files; one with the same level and sample is replaced. Raises LeaseLost."""

    def finish_stage(
        self,
        claim: Claim,
        next_stage: Stage,
        *,
        metrics: LevelMetrics,
        codes_name: str,
    ) -> None:
        """A level is done: keep its figures, release the lease, wait for `next_stage`.

        Raises LeaseLost.
        """

    def go_on(
        self,
        claim: Claim,
        next_stage: Stage,
        *,
        metrics: LevelMetrics,
        codes_name: str,
        lease_sec: float,
    ) -> Claim:
        """As `finish_stage`, but the holder keeps the job: returns its claim for `next_stage`.

        What it writes with the claim before counts as well. Raises LeaseLost.
        """

    def succeed(self, claim: Claim) -> None:
        """End as succeeded with progress 1.0. Raises LeaseLost."""

    def fail(self, claim: Claim, error: JobError) -> None:
        """End as failed. Raises LeaseLost."""

    def cancel(self, claim: Claim) -> None:
        """End as canceled. Raises LeaseLost."""

    def release(self, claim: Claim) -> None:
        """Give the job back unfinished (a stopping worker); no crash is counted.

        A job that waits to be canceled becomes canceled. Raises LeaseLost.
        """

    def due(self, *, limit: int = 100) -> list[DueJob]:
        """Jobs whose lease has run out or whose message seems lost."""

    def postpone(self, job_id: str, seconds: float) -> None:
        """Do not report this job as due again before `seconds` have passed."""

    def record_rate(self, model: str, stage: Stage, tokens_per_second: float) -> None:
        """Fold a measured speed into the running mean of a model's stage."""

    def rates(self, model: str) -> Mapping[Stage, float]:
        """Mean tokens per second of each stage that has been measured."""

    def announce_worker(self, worker: WorkerInfo, *, ttl_sec: float) -> None:
        """Say that a worker lives; forgotten after `ttl_sec` without another word."""

    def workers(self) -> list[WorkerInfo]:
        """Workers heard of within their ttl."""

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs have each status."""

    def oldest_queued(self) -> datetime | None:
        """When the first of the queued jobs was created; None when none is queued."""

    def webhook_figures(self) -> WebhookFigures:
        """How many webhooks wait, and how attempts to send one have ended."""

    def ping(self) -> None:
        """Raise StoreUnavailable unless the server answers."""


class JobWatcher(Protocol):
    """Events of one job as they happen; asynchronous, so that hundreds can wait at once."""

    async def last_event_id(self, job_id: str) -> str:
        """Id of the newest event; `"0-0"` when there is none."""

    async def events_after(
        self, job_id: str, last_event_id: str, *, timeout_sec: float
    ) -> list[JobEvent]:
        """Events newer than `last_event_id`; waits for the first at most `timeout_sec`."""

    async def close(self) -> None:
        """Drop the connections."""
