"""Lost messages and lost workers are noticed; messages that only wait are left in peace."""

import time

import pytest
import redis

from jobs.errors import JobNotFound
from jobs.record.job import Stage
from jobs.store import JobStore
from jobs.store.scripts import record_key
from tests.jobs.records import SHORT_LEASE_SEC, created, take
from worker.lease.reaper import BATCH_SIZE, POSTPONE_SEC, Reaper

pytestmark = pytest.mark.redis


@pytest.fixture
def hasty(service):
    """The same store, which counts a message as lost at once."""
    service.store = JobStore(service.redis_url, resend_after_sec=0.0)
    return service


def test_a_job_whose_message_was_lost_is_sent_once(hasty):
    hasty.admit()
    reaper = Reaper(hasty.store, hasty.queue, every_sec=60)
    reaper.reap()
    reaper.reap()
    assert hasty.queue.depth(Stage.TOP) == 1


def test_a_job_whose_message_may_still_wait_is_not_sent_again(hasty):
    hasty.post()
    Reaper(hasty.store, hasty.queue, every_sec=60).reap()
    assert hasty.queue.depth(Stage.TOP) == 1
    assert hasty.store.due() == []


def test_a_job_whose_worker_died_is_sent_to_the_stage_where_it_stands(hasty):
    job = hasty.admit()
    hasty.store.claim(job.id, Stage.TOP, worker="me", lease_sec=0.05)
    time.sleep(0.1)
    Reaper(hasty.store, hasty.queue, every_sec=60).reap()
    assert hasty.queue.depth(Stage.TOP) == 1


class BusyQueue:
    """Messages of other jobs always wait in it."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def publish(self, job_id: str, stage: Stage) -> None:
        self.sent.append(job_id)

    def depth(self, stage: Stage) -> int:
        return 1000


@pytest.fixture
def looks(clean_redis_url, clock):
    """A store whose clock the test moves, a queue that is never empty, and a way to look again."""
    store, queue = JobStore(clean_redis_url), BusyQueue()
    reaper = Reaper(store, queue, every_sec=60)

    def look(after_sec):
        clock.pass_time(after_sec)
        reaper.reap()
        return list(queue.sent)

    yield store, look
    store.close()


def test_a_job_whose_worker_died_is_sent_at_the_first_look_of_a_busy_service(looks):
    store, look = looks
    job = created(store)
    for times in range(1, 3):
        take(store, job, lease_sec=SHORT_LEASE_SEC)
        assert look(1.1 * SHORT_LEASE_SEC) == [job.id] * times


def test_a_lost_message_of_a_busy_service_is_sent_again_at_the_second_look(looks):
    store, look = looks
    job = created(store)
    assert look(1.1 * POSTPONE_SEC) == []
    assert look(1.1 * POSTPONE_SEC) == [job.id]


def test_a_job_that_waits_long_in_a_busy_service_is_sent_less_and_less_often(looks):
    store, look = looks
    created(store)
    for _ in range(60):
        sent = look(60.0)
    assert 10 <= len(sent) <= 20


def test_a_lost_message_is_found_behind_hundreds_that_only_wait(looks):
    store, look = looks
    for _ in range(3 * BATCH_SIZE):
        created(store)
    lost = created(store)
    look(1.1 * POSTPONE_SEC)
    assert lost.id in look(1.1 * POSTPONE_SEC)
    assert store.due() == []


def test_a_job_that_is_gone_leaves_nothing_to_look_at(looks, clean_redis_url):
    store, look = looks
    job = created(store)
    redis.Redis.from_url(clean_redis_url).delete(record_key(job.id))
    assert look(1.1 * POSTPONE_SEC) == []
    store.postpone(job.id, 1.0)
    with pytest.raises(JobNotFound):
        store.get(job.id)


def test_the_reaper_outlives_a_server_that_goes_away(redis_server, tmp_path, models_dir):
    from tests.worker.jobs_and_processes import Service

    service = Service(redis_url=redis_server.url, data_dir=tmp_path, models_dir=models_dir)
    service.store = JobStore(service.redis_url, resend_after_sec=0.0)
    reaper = Reaper(service.store, service.queue, every_sec=0.05)
    reaper.start()
    redis_server.kill()
    time.sleep(0.3)
    redis_server.start()
    service.admit()
    deadline = time.monotonic() + 60
    while service.queue.depth(Stage.TOP) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    reaper.stop()
    reaper.join(60)
    assert service.queue.depth(Stage.TOP) == 1
