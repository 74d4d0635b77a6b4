"""Lost messages and lost workers are noticed; messages that only wait are left in peace."""

import time

import pytest

from jobs.record.job import Stage
from jobs.redis_store import RedisJobStore
from worker.lease.reaper import Reaper

pytestmark = pytest.mark.redis


@pytest.fixture
def hasty(service):
    """The same store, which counts a message as lost at once."""
    service.store = RedisJobStore(service.redis_url, resend_after_sec=0.0)
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


def test_the_reaper_outlives_a_server_that_goes_away(redis_server, tmp_path, models_dir):
    from tests.worker.jobs_and_processes import Service

    service = Service(redis_url=redis_server.url, data_dir=tmp_path, models_dir=models_dir)
    service.store = RedisJobStore(service.redis_url, resend_after_sec=0.0)
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
