"""Limits hold at the moment a job is queued, however many ask at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.errors import LimitReached
from jobs.idempotency import IdempotencyKey
from jobs.limits import JobLimits
from jobs.record.job import JobStatus, Stage
from tests.jobs.records import ERROR, METRICS, new_job, take

pytestmark = pytest.mark.redis


def create(store, *, owner="alice", idempotency=None, **limits):
    job = replace(new_job(), owner=owner)
    return store.create(job, idempotency=idempotency, limits=JobLimits(**limits))


def refused(code, call):
    with pytest.raises(LimitReached) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.retry_after_sec > 0


def test_a_full_queue_is_full_for_everybody(store):
    create(store, owner="alice", max_queued=2)
    create(store, owner=None, max_queued=2)
    for owner in ("alice", "bob", None):
        refused("queue_full", lambda owner=owner: create(store, owner=owner, max_queued=2))
    assert store.counts()[JobStatus.QUEUED] == 2


def test_each_owner_has_places_of_its_own(store):
    limits = {"max_queued_per_owner": 1}
    first = create(store, **limits)
    refused("too_many_queued", lambda: create(store, **limits))
    create(store, owner="bob", **limits)
    store.request_cancel(first.id)
    create(store, **limits)


def test_running_jobs_count_until_they_end(store):
    limits = {"max_running_per_owner": 1}
    job = create(store, **limits)
    claim = take(store, job)
    refused("too_many_running", lambda: create(store, **limits))
    store.finish_stage(claim, Stage.MIDDLE, metrics=METRICS, codes_name="c")
    refused("too_many_running", lambda: create(store, **limits))
    claim = take(store, job, Stage.MIDDLE)
    store.request_cancel(job.id)
    refused("too_many_running", lambda: create(store, **limits))
    store.cancel(claim)
    create(store, **limits)


def test_without_an_owner_only_the_limit_for_all_holds(store):
    for _ in range(3):
        create(store, owner=None, max_queued_per_owner=1, max_running_per_owner=1)


def test_a_retry_needs_a_place_too(store):
    job = create(store)
    store.fail(take(store, job), ERROR)
    other = create(store)
    limits = JobLimits(max_queued_per_owner=1)
    refused("too_many_queued", lambda: store.retry(job.id, limits=limits))
    assert store.get(job.id).status is JobStatus.FAILED
    store.request_cancel(other.id)
    assert store.retry(job.id, limits=limits)[0].status is JobStatus.QUEUED


def test_a_request_that_is_sent_again_takes_no_second_place_and_a_refused_one_no_key(store):
    limits = {"max_queued_per_owner": 1}

    def key(text):
        return IdempotencyKey(caller="alice", key=text, request_sha256="a" * 64)

    first = create(store, idempotency=key("1"), **limits)
    assert create(store, idempotency=key("1"), **limits).id == first.id
    refused("too_many_queued", lambda: create(store, idempotency=key("2"), **limits))
    assert store.replay(key("2")) is None


def test_a_deleted_job_leaves_nothing_of_its_owner_behind(store):
    job = create(store, max_queued_per_owner=1)
    store.request_cancel(job.id)
    store.delete(job.id)
    assert not store._redis.keys("*owner*")


def test_of_many_at_once_as_many_are_accepted_as_there_are_places(store):
    barrier = threading.Barrier(16)

    def ask(_):
        barrier.wait()
        try:
            create(store, max_queued_per_owner=5)
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(16))) == 5
    assert store.counts()[JobStatus.QUEUED] == 5


def test_tokens_are_spent_and_come_back(store, clock):
    clock.stop()
    for _ in range(60):
        store.take_token("alice", per_minute=60)
    with pytest.raises(LimitReached) as caught:
        store.take_token("alice", per_minute=60)
    assert 0 < caught.value.retry_after_sec <= 1
    store.take_token("bob", per_minute=60)
    clock.pass_time(caught.value.retry_after_sec)
    store.take_token("alice", per_minute=60)


def test_tokens_at_once_are_counted_one_by_one(store, clock):
    clock.stop()

    def ask(_):
        try:
            store.take_token("alice", per_minute=10)
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(ask, range(40))) == 10
