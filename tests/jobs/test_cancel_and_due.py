"""Jobs that somebody gives up, and jobs that nobody holds."""

import pytest

from jobs.errors import IllegalTransition, LeaseLost
from jobs.record.job import JobStatus, Stage, new_job_id
from jobs.store import JobStore
from tests.jobs.records import LEASE_SEC, METRICS, SHORT_LEASE_SEC, created, let_the_lease_end, take

pytestmark = pytest.mark.redis


def test_a_queued_job_is_canceled_at_once(store):
    job = created(store)
    canceled = store.request_cancel(job.id)
    assert canceled == store.get(job.id)
    assert canceled.status is JobStatus.CANCELED
    assert canceled.completed_at is not None
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC) is None


def test_a_running_job_hears_of_the_cancel_at_its_heartbeat(store):
    job = created(store)
    claim = take(store, job)
    assert store.heartbeat(claim, {}, 0.1, lease_sec=LEASE_SEC) is False
    assert store.request_cancel(job.id).status is JobStatus.CANCELING
    assert store.request_cancel(job.id).status is JobStatus.CANCELING
    assert store.heartbeat(claim, {}, 0.2, lease_sec=LEASE_SEC) is True
    store.cancel(claim)
    assert store.get(job.id).status is JobStatus.CANCELED


@pytest.mark.parametrize("lease", ["released", "expired"])
def test_a_running_job_that_nobody_holds_is_canceled_at_once(store, lease, clock):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    if lease == "released":
        store.release(claim)
    else:
        let_the_lease_end(clock)
    assert store.request_cancel(job.id).status is JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        store.heartbeat(claim, {}, 0.2, lease_sec=LEASE_SEC)


def test_a_canceling_job_whose_worker_died_becomes_canceled_when_claimed(store, clock):
    job = created(store)
    take(store, job, lease_sec=SHORT_LEASE_SEC)
    store.request_cancel(job.id)
    let_the_lease_end(clock)
    assert [due.status for due in store.due()] == [JobStatus.CANCELING]
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC) is None
    assert store.get(job.id).status is JobStatus.CANCELED
    assert store.due() == []


@pytest.mark.parametrize("last_write", ["release", "finish_stage"])
def test_a_canceling_job_that_is_given_back_becomes_canceled(store, last_write):
    job = created(store)
    claim = take(store, job)
    store.request_cancel(job.id)
    if last_write == "release":
        store.release(claim)
    else:
        store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="codes")
    canceled = store.get(job.id)
    assert canceled.status is JobStatus.CANCELED
    assert canceled.lease_expires_at is None
    assert store.due() == []


def test_a_cancel_that_comes_after_the_last_code_loses(store):
    job = created(store)
    claim = take(store, job)
    store.request_cancel(job.id)
    store.succeed(claim)
    assert store.get(job.id).status is JobStatus.SUCCEEDED
    assert store.request_cancel(job.id).status is JobStatus.SUCCEEDED


def test_a_worker_does_not_cancel_what_nobody_asked_to_cancel(store):
    job = created(store)
    with pytest.raises(IllegalTransition):
        store.cancel(take(store, job))
    assert store.get(job.id).status is JobStatus.RUNNING


@pytest.fixture
def hasty_store(clean_redis_url, clock):
    store = JobStore(clean_redis_url, resend_after_sec=SHORT_LEASE_SEC)
    yield store
    store.close()


def test_a_new_job_is_due_only_when_its_message_seems_lost(hasty_store, clock):
    job = created(hasty_store)
    assert hasty_store.due() == []
    let_the_lease_end(clock)
    [due] = hasty_store.due()
    assert (due.job_id, due.stage, due.status) == (job.id, Stage.TOP, JobStatus.QUEUED)


def test_a_held_job_is_due_when_its_lease_has_run_out(store, clock):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    assert store.due() == []
    let_the_lease_end(clock)
    assert [due.job_id for due in store.due()] == [job.id]
    store.heartbeat(claim, {}, 0.1, lease_sec=LEASE_SEC)
    assert store.due() == []


@pytest.mark.parametrize("how", ["release", "finish_stage"])
def test_a_job_that_was_given_back_is_due_soon(hasty_store, how, clock):
    job = created(hasty_store)
    claim = take(hasty_store, job)
    stage = Stage.TOP
    if how == "release":
        hasty_store.release(claim)
    else:
        stage = Stage.MIDDLE
        hasty_store.finish_stage(claim, stage, metrics=METRICS, codes_name="codes")
    assert hasty_store.due() == []
    let_the_lease_end(clock)
    assert [(due.job_id, due.stage) for due in hasty_store.due()] == [(job.id, stage)]


def test_a_postponed_job_is_not_due_for_a_while(hasty_store, clock):
    job = created(hasty_store)
    let_the_lease_end(clock)
    hasty_store.postpone(job.id, 2 * SHORT_LEASE_SEC)
    assert hasty_store.due() == []
    clock.pass_time(3 * SHORT_LEASE_SEC)
    assert [due.job_id for due in hasty_store.due()] == [job.id]


def test_postponing_neither_shortens_a_lease_nor_revives_a_job(store):
    job = created(store)
    claim = take(store, job)
    store.postpone(job.id, 0.0)
    assert store.due() == []
    store.succeed(claim)
    store.postpone(job.id, 0.0)
    store.postpone(new_job_id(), 0.0)
    assert store.due() == []


def test_due_jobs_come_longest_overdue_first_and_within_the_limit(hasty_store, clock):
    jobs = [created(hasty_store) for _ in range(3)]
    let_the_lease_end(clock)
    assert [due.job_id for due in hasty_store.due(limit=2)] == [job.id for job in jobs[:2]]
