"""What is written comes back, and what is deleted is gone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from jobs.errors import IllegalTransition, JobNotFound
from jobs.record.job import JobStatus, LevelProgress, Stage
from jobs.store import WorkerInfo
from jobs.store.scripts import FEED_KEY
from tests.fixtures.ids import NOBODYS_JOB
from tests.jobs.records import (
    ERROR,
    LEASE_SEC,
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


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_servers_clock_says_when_a_job_was_created_whatever_the_senders_says(store, hours):
    began, wrong = datetime.now(UTC), datetime.now(UTC) + timedelta(hours=hours)
    job = store.create(new_job(created_at=wrong), is_created_now=True)
    assert abs(job.created_at - began) < timedelta(minutes=5)
    assert store.get(job.id) == job
    assert store.oldest_queued() == job.created_at


@pytest.mark.parametrize(
    "job_id", [NOBODYS_JOB, "", "job_1", "../x", "job_" + "0" * 32 + ":events"]
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
    store.tidied(job.id)
    with redis.Redis.from_url(clean_redis_url, protocol=2) as client:
        assert client.keys() == [FEED_KEY.encode()]
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


def test_workers_are_forgotten_when_they_fall_silent(store, clock):
    def worker(name):
        return WorkerInfo(
            name=name,
            device="cpu",
            models=("tiny",),
            stages=(Stage.TOP, Stage.RENDER),
            seen_at=datetime(2000, 1, 1, tzinfo=UTC),
        )

    store.announce_worker(worker("b"), ttl_sec=600.0)
    store.announce_worker(worker("a c"), ttl_sec=SHORT_LEASE_SEC)
    first, second = store.workers()
    assert (first.name, second.name) == ("a c", "b")
    assert second == replace(worker("b"), seen_at=second.seen_at)
    # The server's clock counts, not the worker's.
    assert abs(second.seen_at - datetime.now(UTC)) < timedelta(minutes=1)
    let_the_lease_end(clock)
    assert [w.name for w in store.workers()] == ["b"]
