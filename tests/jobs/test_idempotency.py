"""One key, one job: in the store, where two requests meet."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.errors import IdempotencyKeyReused, JobNotFound
from jobs.idempotency import IdempotencyKey
from jobs.record.job import JobStatus
from jobs.store import JobStore
from tests.jobs.records import created, new_job

pytestmark = pytest.mark.redis


def key(text="k", *, caller="somebody", request="a" * 64):
    return IdempotencyKey(caller=caller, key=text, request_sha256=request)


def test_a_key_that_comes_twice_makes_one_job(store):
    first = store.create(new_job(), idempotency=key())
    assert store.create(new_job(), idempotency=key()) == first
    assert store.counts()[JobStatus.QUEUED] == 1


def test_a_key_with_another_request_is_refused_and_nothing_is_written(store):
    store.create(new_job(), idempotency=key())
    with pytest.raises(IdempotencyKeyReused):
        store.create(new_job(), idempotency=key(request="b" * 64))
    with pytest.raises(IdempotencyKeyReused):
        store.replay(key(request="b" * 64))
    assert store.counts()[JobStatus.QUEUED] == 1


def test_the_same_key_of_another_caller_is_another_key(store):
    first = store.create(new_job(), idempotency=key())
    assert store.create(new_job(), idempotency=key(caller="else")).id != first.id


def test_callers_and_keys_do_not_run_into_each_other(store):
    first = store.create(new_job(), idempotency=key("bc", caller="a"))
    assert store.create(new_job(), idempotency=key("c", caller="ab")).id != first.id


def test_jobs_without_a_key_are_never_taken_for_each_other(store):
    assert created(store).id != created(store).id


def test_a_replay_shows_the_job_as_it_is_now(store):
    job = store.create(new_job(), idempotency=key())
    assert store.replay(key("other")) is None
    store.request_cancel(job.id)
    assert store.replay(key()).status is JobStatus.CANCELED


@pytest.mark.parametrize("turn", range(5))
def test_of_many_requests_at_once_with_one_key_exactly_one_makes_a_job(store, turn):
    barrier = threading.Barrier(16)

    def create(_):
        barrier.wait()
        return store.create(new_job(), idempotency=key(f"key {turn}")).id

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(create, range(16)))) == 1
    assert sum(store.counts().values()) == 1
    assert len(store.list_jobs().jobs) == 1


def test_a_key_is_forgotten_when_its_time_is_over(store, clean_redis_url):
    forgetful = JobStore(clean_redis_url, keys_kept_sec=0.1)
    first = forgetful.create(new_job(), idempotency=key())
    forgetful.close()
    time.sleep(0.2)
    second = store.create(new_job(), idempotency=key())
    assert second.id != first.id
    store.request_cancel(first.id)
    store.delete(first.id)  # which is not the job of the key any more
    assert store.create(new_job(), idempotency=key()) == second


def test_a_deleted_job_sets_its_key_free(store):
    first = store.create(new_job(), idempotency=key())
    store.request_cancel(first.id)
    store.delete(first.id)
    assert store.replay(key()) is None
    assert store.create(new_job(), idempotency=key(request="b" * 64)).id != first.id


def test_a_job_is_disowned_unless_somebody_was_given_it(store):
    job = store.create(new_job(), idempotency=key())
    assert store.disown(job.id)
    again = store.create(new_job(), idempotency=key())
    assert again.id != job.id
    store.replay(key())
    assert not store.disown(again.id)
    with pytest.raises(JobNotFound):
        store.disown(new_job().id)


def test_a_key_survives_a_restart_of_the_server(redis_server):
    store = JobStore(redis_server.url)
    job = store.create(new_job(), idempotency=key())
    redis_server.kill()
    redis_server.restart()
    assert store.create(new_job(), idempotency=key()).id == job.id
    store.close()
