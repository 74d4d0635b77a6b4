"""What the store allows, what it refuses, and what it keeps."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from jobs.errors import IllegalTransition, JobNotFound, LeaseLost
from jobs.job import (
    Job,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelProgress,
    Stage,
    new_job_id,
)
from jobs.redis_store import RedisJobStore
from jobs.store import Claim, WorkerInfo
from tests.jobs.records import new_job, output, window

pytestmark = pytest.mark.redis

LEASE_SEC = 30.0
SHORT_LEASE_SEC = 0.05
METRICS = LevelMetrics(seconds=1.5, tokens_per_second=83.3)
ERROR = JobError(code="out_of_memory", message="the device is full", retryable=True)


def take(store: RedisJobStore, job: Job, stage: Stage = Stage.TOP, *, lease_sec=LEASE_SEC) -> Claim:
    claim = store.claim(job.id, stage, worker="worker-1", lease_sec=lease_sec)
    assert claim is not None
    return claim


def created(store: RedisJobStore, **request) -> Job:
    job = new_job(**request)
    store.create(job)
    return job


def let_the_lease_end() -> None:
    time.sleep(2 * SHORT_LEASE_SEC)


# --- create, get, delete ---------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_written(store):
    job = new_job(levels=["top", "middle"], num_samples=3, audio_format="flac")
    store.create(job)
    assert store.get(job.id) == job


def test_a_full_record_comes_back_as_it_was_written(store):
    now = datetime(2026, 11, 22, 7, 6, 5, 432_101, tzinfo=UTC)
    job = replace(
        new_job(),
        started_at=now,
        completed_at=now,
        expires_at=now,
        lease_expires_at=now,
        attempt=2,
        fence=5,
        progress_value=1 / 3,
        progress={"top": LevelProgress(tokens_done=3, windows_done=1)},
        codes=(window(), window(start=64, end=125)),
        codes_name="codes.safetensors",
        outputs=(output(), output(sample=1)),
        metrics={"top": METRICS},
        error=ERROR,
        worker="worker-1",
    )
    store.create(job)
    assert store.get(job.id) == job


def test_an_id_is_used_once(store):
    job = created(store)
    with pytest.raises(IllegalTransition):
        store.create(job)


def test_only_queued_records_are_created(store):
    with pytest.raises(IllegalTransition):
        store.create(replace(new_job(), status=JobStatus.RUNNING))


def test_a_moment_without_a_time_zone_is_refused(store):
    with pytest.raises(TypeError):
        store.create(new_job(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001


@pytest.mark.parametrize(
    "job_id", [new_job_id(), "", "job_1", "../x", "job_" + "0" * 32 + ":events"]
)
def test_an_unknown_or_malformed_id_is_not_found(store, job_id):
    for call in (store.get, store.request_cancel, store.delete):
        with pytest.raises(JobNotFound):
            call(job_id)
    assert store.claim(job_id, Stage.TOP, worker="w", lease_sec=1.0) is None
    assert store.queue_position(job_id) is None


def test_a_deleted_job_leaves_no_key_behind(store, clean_redis_url):
    job = created(store)
    claim = take(store, job)
    store.heartbeat(claim, {"top": LevelProgress(tokens_done=5)}, 0.1, lease_sec=LEASE_SEC)
    store.record_window(claim, window())
    store.record_outputs(claim, [output()])
    store.succeed(claim)
    store.delete(job.id)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        assert client.keys() == []
    with pytest.raises(JobNotFound):
        store.get(job.id)


def test_a_job_that_has_not_ended_cannot_be_deleted(store):
    job = created(store)
    with pytest.raises(IllegalTransition):
        store.delete(job.id)
    claim = take(store, job)
    with pytest.raises(IllegalTransition):
        store.delete(job.id)
    store.request_cancel(job.id)
    with pytest.raises(IllegalTransition):
        store.delete(job.id)
    store.cancel(claim)
    store.delete(job.id)


# --- claims ----------------------------------------------------------------------------------


def test_a_claim_makes_a_queued_job_running(store):
    job = created(store)
    before = datetime.now(UTC)
    claim = take(store, job)
    assert claim.job == store.get(job.id)
    assert claim.job.status is JobStatus.RUNNING
    assert claim.job.worker == "worker-1"
    assert claim.job.fence == claim.fence == 1
    assert claim.job.attempt == 1
    assert claim.job.started_at is not None
    assert abs(claim.job.started_at - before) < timedelta(seconds=5)
    assert claim.job.lease_expires_at is not None
    assert claim.job.lease_expires_at - claim.job.started_at >= timedelta(seconds=LEASE_SEC) * 0.99


def test_a_held_job_is_not_claimed_again(store):
    job = created(store)
    take(store, job)
    assert store.claim(job.id, Stage.TOP, worker="worker-2", lease_sec=LEASE_SEC) is None
    assert store.get(job.id).fence == 1


def test_a_message_for_another_stage_claims_nothing(store):
    job = created(store)
    assert store.claim(job.id, Stage.MIDDLE, worker="w", lease_sec=LEASE_SEC) is None
    assert store.get(job.id).status is JobStatus.QUEUED


def test_an_expired_lease_counts_as_a_crash(store):
    job = created(store)
    take(store, job, lease_sec=SHORT_LEASE_SEC)
    let_the_lease_end()
    claim = take(store, job)
    assert (claim.job.attempt, claim.fence) == (2, 2)
    assert claim.job.status is JobStatus.RUNNING


def test_a_released_job_is_claimed_again_and_counts_no_crash(store):
    job = created(store)
    first = take(store, job)
    store.release(first)
    assert store.get(job.id).lease_expires_at is None
    assert store.get(job.id).status is JobStatus.RUNNING
    second = take(store, job)
    assert (second.job.attempt, second.fence) == (1, 2)
    assert second.job.started_at == first.job.started_at


def test_the_third_crash_fails_the_job(store):
    job = created(store)
    for attempt in (1, 2, 3):
        assert take(store, job, lease_sec=SHORT_LEASE_SEC).job.attempt == attempt
        let_the_lease_end()
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC) is None
    failed = store.get(job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("too_many_crashes", True)
    assert failed.completed_at is not None
    assert failed.attempt == 3


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
def test_a_job_that_ended_is_not_claimed(store, end):
    job = created(store)
    claim = take(store, job)
    if end == "succeed":
        store.succeed(claim)
    elif end == "fail":
        store.fail(claim, ERROR)
    else:
        store.request_cancel(job.id)
        store.cancel(claim)
    assert store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC) is None


# --- fencing ---------------------------------------------------------------------------------


def writes(store: RedisJobStore, claim: Claim):
    return [
        lambda: store.heartbeat(claim, {}, 0.9, lease_sec=LEASE_SEC),
        lambda: store.record_window(claim, window(name="zombie")),
        lambda: store.forget_windows(claim, ["w"]),
        lambda: store.record_outputs(claim, [output(name="zombie")]),
        lambda: store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="zombie"),
        lambda: store.succeed(claim),
        lambda: store.fail(claim, ERROR),
        lambda: store.cancel(claim),
        lambda: store.release(claim),
    ]


def test_a_worker_that_lost_its_lease_writes_nothing(store):
    job = created(store)
    zombie = take(store, job, lease_sec=SHORT_LEASE_SEC)
    store.record_window(zombie, window())
    let_the_lease_end()
    take(store, job)
    before = store.get(job.id)
    for write in writes(store, zombie):
        with pytest.raises(LeaseLost):
            write()
    assert store.get(job.id) == before


@pytest.mark.parametrize("how", ["ended", "released", "finished_stage", "deleted"])
def test_a_claim_ends_with_the_work(store, how):
    job = created(store)
    claim = take(store, job)
    if how == "released":
        store.release(claim)
    elif how == "finished_stage":
        store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="codes")
    else:
        store.succeed(claim)
    if how == "deleted":
        store.delete(job.id)
    for write in writes(store, claim):
        with pytest.raises(LeaseLost):
            write()


def test_an_expired_lease_that_nobody_took_is_renewed(store):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    let_the_lease_end()
    assert store.heartbeat(claim, {}, 0.5, lease_sec=LEASE_SEC) is False
    assert store.claim(job.id, Stage.TOP, worker="worker-2", lease_sec=LEASE_SEC) is None


# --- what a worker writes --------------------------------------------------------------------


def test_progress_never_goes_back(store):
    claim = take(store, created(store))
    for value, kept in [(0.4, 0.4), (0.2, 0.4), (-1.0, 0.4), (0.5, 0.5), (7.0, 1.0)]:
        store.heartbeat(claim, {}, value, lease_sec=LEASE_SEC)
        assert store.get(claim.job.id).progress_value == kept


def test_progress_does_not_go_back_when_another_worker_begins_again(store):
    job = created(store)
    claim = take(store, job)
    store.heartbeat(claim, {"top": LevelProgress(tokens_done=80)}, 0.6, lease_sec=LEASE_SEC)
    store.release(claim)
    again = take(store, job)
    store.heartbeat(again, {"top": LevelProgress(tokens_done=64)}, 0.5, lease_sec=LEASE_SEC)
    kept = store.get(job.id)
    assert kept.progress_value == 0.6
    assert kept.progress == {"top": LevelProgress(tokens_done=64)}


def test_a_heartbeat_keeps_the_progress_of_other_levels(store):
    claim = take(store, created(store))
    top = LevelProgress(tokens_done=125, windows_done=2)
    middle = LevelProgress(tokens_done=3)
    store.heartbeat(claim, {"top": top}, 0.1, lease_sec=LEASE_SEC)
    store.heartbeat(claim, {"middle": middle}, 0.2, lease_sec=LEASE_SEC)
    assert store.get(claim.job.id).progress == {"top": top, "middle": middle}


def test_windows_and_outputs_are_kept_in_order_and_replaced_in_place(store):
    claim = take(store, created(store))
    for codes in (
        window(start=64, end=125),
        window(level="middle"),
        window(),
        window(name="again"),
    ):
        store.record_window(claim, codes)
    store.record_outputs(claim, [output(sample=1), output()])
    store.record_outputs(claim, [output(sample=1, name="again.wav")])
    job = store.get(claim.job.id)
    assert job.codes == (window(name="again"), window(start=64, end=125), window(level="middle"))
    assert job.outputs == (output(), output(sample=1, name="again.wav"))


def test_forgotten_windows_are_gone_and_others_stay(store):
    claim = take(store, created(store))
    store.record_window(claim, window(name="good"))
    store.record_window(claim, window(start=64, end=125, name="corrupt"))
    store.forget_windows(claim, ["corrupt", "never-there"])
    assert [codes.name for codes in store.get(claim.job.id).codes] == ["good"]


def test_a_finished_stage_hands_over_to_the_next(store):
    job = created(store)
    claim = take(store, job)
    store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="codes-1")
    waiting = store.get(job.id)
    assert waiting.stage is Stage.MIDDLE
    assert waiting.status is JobStatus.RUNNING
    assert waiting.lease_expires_at is None
    assert waiting.metrics == {"top": METRICS}
    assert waiting.codes_name == "codes-1"
    assert store.claim(job.id, Stage.TOP, worker="late", lease_sec=LEASE_SEC) is None
    following = take(store, job, Stage.MIDDLE)
    assert (following.job.attempt, following.fence) == (1, 2)


def test_a_stage_is_not_skipped(store):
    claim = take(store, created(store))
    with pytest.raises(IllegalTransition):
        store.finish_stage(claim, Stage.BOTTOM, metrics=METRICS, codes_name="codes")


def test_a_draft_goes_from_the_top_to_the_finish(store):
    job = created(store, levels=["top"])
    claim = take(store, job)
    store.finish_stage(claim, Stage.RENDER, metrics=METRICS, codes_name="codes")
    store.succeed(take(store, job, Stage.RENDER))
    assert store.get(job.id).status is JobStatus.SUCCEEDED


def test_a_job_that_succeeded_is_complete(store):
    job = created(store)
    claim = take(store, job)
    store.succeed(claim)
    done = store.get(job.id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.progress_value == 1.0
    assert done.completed_at is not None
    assert done.lease_expires_at is None


def test_a_job_that_failed_says_why(store):
    job = created(store)
    store.fail(take(store, job), ERROR)
    assert store.get(job.id).status is JobStatus.FAILED
    assert store.get(job.id).error == ERROR


# --- cancel ----------------------------------------------------------------------------------


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
def test_a_running_job_that_nobody_holds_is_canceled_at_once(store, lease):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    if lease == "released":
        store.release(claim)
    else:
        let_the_lease_end()
    assert store.request_cancel(job.id).status is JobStatus.CANCELED
    with pytest.raises(LeaseLost):
        store.heartbeat(claim, {}, 0.2, lease_sec=LEASE_SEC)


def test_a_canceling_job_whose_worker_died_becomes_canceled_when_claimed(store):
    job = created(store)
    take(store, job, lease_sec=SHORT_LEASE_SEC)
    store.request_cancel(job.id)
    let_the_lease_end()
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


# --- due -------------------------------------------------------------------------------------


@pytest.fixture
def hasty_store(clean_redis_url):
    store = RedisJobStore(clean_redis_url, resend_after_sec=SHORT_LEASE_SEC)
    yield store
    store.close()


def test_a_new_job_is_due_only_when_its_message_seems_lost(hasty_store):
    job = created(hasty_store)
    assert hasty_store.due() == []
    let_the_lease_end()
    [due] = hasty_store.due()
    assert (due.job_id, due.stage, due.status) == (job.id, Stage.TOP, JobStatus.QUEUED)


def test_a_held_job_is_due_when_its_lease_has_run_out(store):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    assert store.due() == []
    let_the_lease_end()
    assert [due.job_id for due in store.due()] == [job.id]
    store.heartbeat(claim, {}, 0.1, lease_sec=LEASE_SEC)
    assert store.due() == []


@pytest.mark.parametrize("how", ["release", "finish_stage"])
def test_a_job_that_was_given_back_is_due_soon(hasty_store, how):
    job = created(hasty_store)
    claim = take(hasty_store, job)
    stage = Stage.TOP
    if how == "release":
        hasty_store.release(claim)
    else:
        stage = Stage.MIDDLE
        hasty_store.finish_stage(claim, stage, metrics=METRICS, codes_name="codes")
    assert hasty_store.due() == []
    let_the_lease_end()
    assert [(due.job_id, due.stage) for due in hasty_store.due()] == [(job.id, stage)]


def test_a_postponed_job_is_not_due_for_a_while(hasty_store):
    job = created(hasty_store)
    let_the_lease_end()
    hasty_store.postpone(job.id, 2 * SHORT_LEASE_SEC)
    assert hasty_store.due() == []
    time.sleep(3 * SHORT_LEASE_SEC)
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


def test_due_jobs_come_longest_overdue_first_and_within_the_limit(hasty_store):
    jobs = [created(hasty_store) for _ in range(3)]
    let_the_lease_end()
    assert [due.job_id for due in hasty_store.due(limit=2)] == [job.id for job in jobs[:2]]


# --- figures ---------------------------------------------------------------------------------


def test_the_queue_position_counts_the_queued_jobs_before(store):
    jobs = [created(store) for _ in range(3)]
    assert [store.queue_position(job.id) for job in jobs] == [0, 1, 2]
    take(store, jobs[0])
    assert [store.queue_position(job.id) for job in jobs] == [None, 0, 1]
    store.request_cancel(jobs[1].id)
    assert [store.queue_position(job.id) for job in jobs] == [None, None, 0]


def test_counts_name_every_status(store):
    assert store.counts() == dict.fromkeys(JobStatus, 0)
    created(store)
    take(store, created(store))
    assert store.counts() == {
        **dict.fromkeys(JobStatus, 0),
        JobStatus.QUEUED: 1,
        JobStatus.RUNNING: 1,
    }


def test_a_rate_is_a_running_mean(store):
    assert store.rates("tiny") == {}
    store.record_rate("tiny", Stage.TOP, 100.0)
    assert store.rates("tiny") == {Stage.TOP: 100.0}
    store.record_rate("tiny", Stage.TOP, 200.0)
    store.record_rate("other", Stage.TOP, 1.0)
    assert store.rates("tiny") == {Stage.TOP: pytest.approx(125.0)}


def test_workers_are_forgotten_when_they_fall_silent(store):
    def worker(name):
        return WorkerInfo(
            name=name,
            device="cpu",
            models=("tiny",),
            stages=(Stage.TOP, Stage.RENDER),
            seen_at=datetime(2000, 1, 1, tzinfo=UTC),
        )

    store.announce_worker(worker("b"), ttl_sec=30.0)
    store.announce_worker(worker("a c"), ttl_sec=SHORT_LEASE_SEC)
    first, second = store.workers()
    assert (first.name, second.name) == ("a c", "b")
    assert second == replace(worker("b"), seen_at=second.seen_at)
    # The server's clock counts, not the worker's.
    assert abs(second.seen_at - datetime.now(UTC)) < timedelta(seconds=5)
    let_the_lease_end()
    assert [w.name for w in store.workers()] == ["b"]
