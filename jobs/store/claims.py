"""What workers do with jobs: claim one, write under its lease, end it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from jobs.errors import (
    IllegalTransition,
    LeaseLost,
    RecordUnreadable,
)
from jobs.record.codec import (
    output_field,
    to_json,
    window_field,
)
from jobs.record.job import (
    CodesFile,
    FailureCode,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelProgress,
    Output,
    Stage,
    is_job_id,
)
from jobs.store.connection import errors_as_store_unavailable
from jobs.store.scripts import (
    ScriptRunner,
    index_key,
    job_of,
    microseconds,
)
from jobs.store.types import Claim

log = logging.getLogger(__name__)


class Claims(ScriptRunner):
    """Every write carries the fence of its claim."""

    _max_attempts: int
    _resend_us: int

    def claim(self, job_id: str, stage: Stage, *, worker: str, lease_sec: float) -> Claim | None:
        """Take a job that nobody holds and that waits at `stage`; None when there is none such.

        A job to be canceled becomes canceled instead, one with too many crashes failed, and so does
        one whose deadline has passed. A job that this release cannot run stays as it is.
        """
        if not self._can_run(job_id):
            return None
        error = JobError(
            code=FailureCode.TOO_MANY_CRASHES,
            message=f"the worker died {self._max_attempts} times in a row while it ran this job",
            retryable=True,
        )
        lease_us = microseconds(lease_sec)
        reply = self._run(
            "claim", job_id, stage, worker, lease_us, self._max_attempts, to_json(error)
        )
        if reply[0] == "none":
            self._report_ending(reply[1:])
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
        if not is_job_id(job_id):
            return False
        record, _ = self._run("get", job_id, "")
        if not record:
            return False
        try:
            needs_newer_release = job_of(record).needs_newer_release
        except RecordUnreadable as error:
            log.warning("not claimed: %s", error, extra={"job_id": job_id})
            return False
        if needs_newer_release:
            log.warning("left to a worker of a newer release", extra={"job_id": job_id})
        return not needs_newer_release

    def heartbeat(
        self,
        claim: Claim,
        progress: Mapping[str, LevelProgress],
        value: float,
        *,
        seconds_left: float | None = None,
        lease_sec: float,
    ) -> bool:
        """Renew the lease and write progress; True when cancel was requested.

        Raises LeaseLost, also for a job that fails now because its deadline has passed.
        `value` is kept between 0 and 1 and never goes back. `seconds_left` is a forecast; None
        leaves the last one.
        """
        parts = [word for level, part in progress.items() for word in (level, to_json(part))]
        kept_value = repr(min(max(float(value), 0.0), 1.0))
        lease_us = microseconds(lease_sec)
        forecast = "" if seconds_left is None else f"{max(seconds_left, 0.0):.1f}"
        reply = self._run_as_owner("heartbeat", claim, lease_us, kept_value, forecast, *parts)
        return bool(reply[1] == JobStatus.CANCELING)

    def record_window(self, claim: Claim, codes: CodesFile) -> None:
        """Add one kept window, or replace the one that began there. Raises LeaseLost."""
        self._run_as_owner("record_window", claim, window_field(codes), to_json(codes))

    def record_prompt(self, claim: Claim, codes_name: str) -> None:
        """The codes of the job's audio prompt are in this file. Raises LeaseLost."""
        self._run_as_owner("set_fields", claim, "prompt_codes_name", codes_name)

    def record_backend(self, claim: Claim, *, step: str, weights: str) -> None:
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
        lease_us = microseconds(lease_sec)
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

    def end_leases(self, worker: str) -> list[str]:
        """Let others claim at once what a worker held that is dead for certain; these jobs.

        For them it is a crash, as when their leases run out.
        """
        held = [
            job_id
            for status in (JobStatus.RUNNING, JobStatus.CANCELING)
            for job_id in self._members(index_key(status=status))
        ]
        return [job_id for job_id in held if self._run("end_lease", job_id, worker)[0] == "ok"]

    def _members(self, index: str) -> list[str]:
        with errors_as_store_unavailable():
            return cast(list[str], self._redis.zrange(index, 0, -1))

    def _run_as_owner(self, script: str, claim: Claim, *arguments: str | int) -> list[Any]:
        """Run a script that writes with the claim's fence. Raises LeaseLost."""
        reply: list[Any] = self._run(script, claim.job.id, claim.fence, *arguments)
        if reply[0] == "lost":
            self._report_ending(reply[1:])
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


def _words(output: Output) -> Iterable[str]:
    event = {"level": output.level, "sample": output.sample}
    return output_field(output), to_json(output), to_json(event)
