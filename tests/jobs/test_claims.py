"""Who may write a job, and what a worker writes."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import IllegalTransition, LeaseLost
from jobs.record.job import JobStatus, LevelProgress, Stage
from jobs.store import Claim, JobStore
from tests.jobs.records import (
    ERROR,
    LEASE_SEC,
    METRICS,
    SHORT_LEASE_SEC,
    created,
    let_the_lease_end,
    output,
    take,
    window,
)

pytestmark = pytest.mark.redis


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
    assert abs(claim.job.started_at - before) < timedelta(minutes=1)
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


def test_what_a_dead_worker_held_may_be_claimed_at_once_and_counts_as_a_crash(store):
    held, canceling, others = created(store), created(store), created(store)
    for job in (held, canceling):
        take(store, job)
    store.request_cancel(canceling.id)
    store.claim(others.id, Stage.TOP, worker="worker-2", lease_sec=LEASE_SEC)
    done = take(store, created(store))
    store.fail(done, ERROR)
    created(store)
    assert sorted(store.end_leases("worker-1")) == sorted([held.id, canceling.id])
    assert {due.job_id for due in store.due() if due.is_abandoned} == {held.id, canceling.id}
    claim = take(store, held)
    assert (claim.job.attempt, claim.fence) == (2, 2)
    assert store.claim(others.id, Stage.TOP, worker="worker-3", lease_sec=LEASE_SEC) is None
    assert store.claim(canceling.id, Stage.TOP, worker="worker-3", lease_sec=LEASE_SEC) is None
    assert store.get(canceling.id).status is JobStatus.CANCELED
    assert store.end_leases("nobody") == []


def test_an_expired_lease_counts_as_a_crash(store, clock):
    job = created(store)
    take(store, job, lease_sec=SHORT_LEASE_SEC)
    let_the_lease_end(clock)
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


def test_the_third_crash_fails_the_job(store, clock):
    job = created(store)
    for attempt in (1, 2, 3):
        assert take(store, job, lease_sec=SHORT_LEASE_SEC).job.attempt == attempt
        let_the_lease_end(clock)
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


def writes(store: JobStore, claim: Claim):
    return [
        lambda: store.heartbeat(claim, {}, 0.9, lease_sec=LEASE_SEC),
        lambda: store.record_window(claim, window(name="zombie")),
        lambda: store.forget_windows(claim, ["w"]),
        lambda: store.record_outputs(claim, [output(name="zombie")]),
        lambda: store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="zombie"),
        lambda: go_on(store, claim),
        lambda: store.succeed(claim),
        lambda: store.fail(claim, ERROR),
        lambda: store.cancel(claim),
        lambda: store.release(claim),
    ]


def test_a_worker_that_lost_its_lease_writes_nothing(store, clock):
    job = created(store)
    zombie = take(store, job, lease_sec=SHORT_LEASE_SEC)
    store.record_window(zombie, window())
    let_the_lease_end(clock)
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


def test_an_expired_lease_that_nobody_took_is_renewed(store, clock):
    job = created(store)
    claim = take(store, job, lease_sec=SHORT_LEASE_SEC)
    let_the_lease_end(clock)
    assert store.heartbeat(claim, {}, 0.5, lease_sec=LEASE_SEC) is False
    assert store.claim(job.id, Stage.TOP, worker="worker-2", lease_sec=LEASE_SEC) is None


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
    job = store.get(claim.job.id, with_windows=True)
    assert job.codes == (window(name="again"), window(start=64, end=125), window(level="middle"))
    assert job.outputs == (output(), output(sample=1, name="again.wav"))


def test_a_record_says_with_what_a_song_was_begun(store, clock):
    job = created(store)
    late = take(store, job, lease_sec=SHORT_LEASE_SEC)
    store.record_backend(late, step="native", weights="int8")
    let_the_lease_end(clock)
    take(store, job)
    with pytest.raises(LeaseLost):
        store.record_backend(late, step="plain", weights="full")
    begun = store.get(job.id)
    assert (begun.step, begun.weights) == ("native", "int8")


def test_forgotten_windows_are_gone_and_others_stay(store):
    claim = take(store, created(store))
    store.record_window(claim, window(name="good"))
    store.record_window(claim, window(start=64, end=125, name="corrupt"))
    store.forget_windows(claim, ["corrupt", "never-there"])
    assert [codes.name for codes in store.get(claim.job.id, with_windows=True).codes] == ["good"]


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


def go_on(store, claim, next_stage=Stage.MIDDLE):
    return store.go_on(
        claim, next_stage, metrics=METRICS, codes_name="codes-1", lease_sec=LEASE_SEC
    )


def test_whoever_goes_on_keeps_the_job_for_the_next_stage(store):
    job = created(store)
    claim = take(store, job)
    following = go_on(store, claim)
    now = store.get(job.id)
    assert (now.stage, now.fence, now.attempt) == (Stage.MIDDLE, claim.fence, 1)
    assert (now.metrics, now.codes_name) == ({"top": METRICS}, "codes-1")
    assert following.job == now
    assert now.lease_expires_at >= claim.job.lease_expires_at
    for stage in (Stage.TOP, Stage.MIDDLE):
        assert store.claim(job.id, stage, worker="you", lease_sec=LEASE_SEC) is None
    # What was begun under the claim before is still written.
    store.record_window(claim, window())
    store.finish_stage(following, Stage.BOTTOM, metrics=METRICS, codes_name="codes-2")
    assert store.get(job.id).stage is Stage.BOTTOM


def test_going_on_twice_because_an_answer_was_lost_is_going_on_once(store):
    claim = take(store, created(store))
    assert go_on(store, claim).job.stage is Stage.MIDDLE
    assert go_on(store, claim).job.stage is Stage.MIDDLE
    assert store.get(claim.job.id).metrics == {"top": METRICS}


def test_nobody_goes_back_with_a_claim_for_a_stage_that_is_over(store):
    claim = take(store, created(store))
    go_on(store, go_on(store, claim), Stage.BOTTOM)
    with pytest.raises(LeaseLost):
        go_on(store, claim)
    with pytest.raises(LeaseLost):
        store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="codes")
    assert store.get(claim.job.id).stage is Stage.BOTTOM


def test_going_on_does_not_hide_the_wish_to_cancel(store):
    claim = take(store, created(store))
    store.request_cancel(claim.job.id)
    following = go_on(store, claim)
    assert following.job.status is JobStatus.CANCELING
    assert store.heartbeat(following, {}, 0.5, lease_sec=LEASE_SEC)
    store.cancel(following)
    assert store.get(claim.job.id).status is JobStatus.CANCELED


def test_a_stage_is_not_skipped(store):
    claim = take(store, created(store))
    with pytest.raises(IllegalTransition):
        store.finish_stage(claim, Stage.BOTTOM, metrics=METRICS, codes_name="codes")
    with pytest.raises(IllegalTransition):
        go_on(store, claim, Stage.BOTTOM)


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
