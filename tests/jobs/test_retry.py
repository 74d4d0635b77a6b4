"""A failed job is tried once more, with what was drawn."""

from dataclasses import replace

import pytest

from jobs.errors import JobNotFound, LeaseLost, NotRetryable
from jobs.record.job import JobStatus, Stage
from jobs.store import JobStore
from tests.jobs.records import (
    ERROR,
    METRICS,
    SHORT_LEASE_SEC,
    created,
    let_the_lease_end,
    new_job,
    output,
    take,
    window,
)

pytestmark = pytest.mark.redis


def failed_at_the_middle(store):
    """With the top level done, and one window of the middle one."""
    job = created(store)
    claim = take(store, job)
    store.record_window(claim, window())
    store.record_outputs(claim, [output()])
    store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="top.safetensors")
    claim = take(store, job, Stage.MIDDLE)
    store.heartbeat(claim, {}, 0.4, lease_sec=1)
    store.record_window(claim, window(level="middle"))
    store.fail(claim, ERROR)
    return claim


def test_a_failed_job_waits_again_at_its_stage_with_all_that_was_drawn(store):
    claim = failed_at_the_middle(store)
    before = store.get(claim.job.id)
    after, _ = store.retry(before.id)
    waiting = replace(before, status=JobStatus.QUEUED, error=None, completed_at=None, worker=None)
    assert after == store.get(before.id, with_windows=True) == waiting
    assert (after.stage, len(store.get(after.id, with_windows=True).codes), len(after.outputs)) == (
        Stage.MIDDLE,
        2,
        1,
    )
    assert store.counts()[JobStatus.QUEUED] == 1
    assert store.queue_position(after.id) == 0
    assert [job.id for job in store.list_jobs(status=JobStatus.FAILED).jobs] == []


def test_a_retried_job_is_claimed_with_a_newer_fence_and_its_old_worker_is_out(store):
    old = failed_at_the_middle(store)
    store.retry(old.job.id)
    with pytest.raises(LeaseLost):
        store.record_window(old, window())
    new = take(store, old.job, Stage.MIDDLE)
    assert new.fence > old.fence
    assert new.job.started_at == store.get(old.job.id).started_at == old.job.started_at
    with pytest.raises(LeaseLost):
        store.heartbeat(old, {}, 0.5, lease_sec=1)


def test_after_too_many_crashes_the_attempts_count_anew(store, clock):
    job = created(store)
    for _ in range(3):
        take(store, job, lease_sec=SHORT_LEASE_SEC)
        let_the_lease_end(clock)
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=1) is None
    assert store.get(job.id).error.code == "too_many_crashes"
    assert store.retry(job.id)[0].attempt == 1
    assert take(store, job).job.attempt == 1


def test_a_retried_job_is_due_again_when_its_message_was_lost(clean_redis_url, clock):
    store = JobStore(clean_redis_url, resend_after_sec=SHORT_LEASE_SEC)
    claim = failed_at_the_middle(store)
    assert store.due() == []
    store.retry(claim.job.id)
    assert store.due() == []
    let_the_lease_end(clock)
    [due] = store.due()
    assert (due.job_id, due.stage, due.status) == (claim.job.id, "middle", "queued")
    store.close()


@pytest.mark.parametrize("status", ["queued", "running", "canceled"])
def test_only_a_failed_job_is_retried(store, status):
    job = created(store)
    if status == "running":
        take(store, job)
    if status == "canceled":
        store.request_cancel(job.id)
    with pytest.raises(NotRetryable, match=status):
        store.retry(job.id)
    assert store.get(job.id).status == status


def test_an_error_that_would_come_again_is_not_retried(store):
    job = created(store)
    store.fail(take(store, job), replace(ERROR, retryable=False))
    with pytest.raises(NotRetryable, match="failed"):
        store.retry(job.id)


def test_a_second_retry_is_refused(store):
    claim = failed_at_the_middle(store)
    store.retry(claim.job.id)
    with pytest.raises(NotRetryable, match="queued"):
        store.retry(claim.job.id)


def test_a_job_that_is_gone_is_not_retried(store):
    with pytest.raises(JobNotFound):
        store.retry(new_job().id)
