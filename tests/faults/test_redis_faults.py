"""A server that dies, hangs, forgets, is full, slow, or lets nobody in."""

import os
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import redis

from jobs.queue import queue_name
from jobs.record.job import Stage
from tests.faults.promises import assert_promises
from tests.faults.world import START_SEC
from tests.worker.jobs_and_processes import LEASE_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

SLACK_SEC = 30.0
RESEND_SEC = 10.0
LONG_LEASE = {"JUKEBOX_LEASE_SEC": "30"}
ANSWER_SEC = 3.0


def song(seed=7, **changes):
    return {
        "model": "tiny",
        "artist": "The Sawtooths",
        "genre": "drone",
        "lyrics": "Hello, hello, is anybody there?",
        "duration_seconds": 3.0,
        "seed": seed,
        **changes,
    }


def accepted(api, **changes):
    answer = api.http.post("/jobs", json=song(**changes))
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def assert_away(api, *, reads_too=True):
    """Nobody waits long, and everybody hears when to come again."""
    calls = [lambda: api.http.post("/jobs", json=song(seed=99))]
    if reads_too:
        calls += [
            lambda: api.http.get(f"/jobs/job_{'0' * 32}"),
            lambda: api.http.get("/jobs"),
            lambda: api.http.get("/readyz"),
        ]
    for call in calls:
        asked_at = time.monotonic()
        answer: httpx.Response = call()
        assert time.monotonic() - asked_at < ANSWER_SEC
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1


def admin(world):
    return redis.Redis.from_url(world.redis_url, protocol=2)


@pytest.fixture
def busy(world):
    """An API, a worker with a long lease, and a song that is being drawn."""
    api = world.api()
    world.worker(**LONG_LEASE)
    api.wait_ready()
    job_id = accepted(api)
    world.wait_kept(job_id, "middle", 1)
    return api, job_id


def test_a_server_killed_and_started_again(world, undisturbed, busy):
    api, job_id = busy
    another = accepted(api, seed=8)
    # A claim whose answer is lost counts as an attempt; that is not what this is about.
    world.wait_kept(another, "top", 1)
    world.server.kill()
    assert_away(api)
    time.sleep(2)
    world.server.start()
    jobs = assert_promises(world, undisturbed, [job_id, another], lost_at_most_sec=2 + SLACK_SEC)
    assert {job.attempt for job in jobs} == {1}


def test_a_server_that_lost_its_last_writes(world, undisturbed, busy):
    _, job_id = busy
    world.wait_kept(job_id, "bottom", 2)
    world.server.kill()
    [log] = (world.server._data_dir / "redis" / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 2500)
    world.server.start()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=30 + SLACK_SEC)


def test_a_server_frozen_for_twenty_seconds(world, undisturbed, busy):
    api, job_id = busy
    waiting = accepted(api, seed=8)
    world.server.freeze()
    began_at = time.monotonic()
    assert_away(api)
    time.sleep(max(0, 20 - (time.monotonic() - began_at)))
    world.server.thaw()
    assert_promises(
        world, undisturbed, [job_id, waiting], lost_at_most_sec=20 + RESEND_SEC + SLACK_SEC
    )
    answer = api.http.get("/jobs").json()
    assert {job["id"] for job in answer["data"]} == {job_id, waiting}, "refused means refused"


def test_a_server_frozen_for_longer_than_the_lease(world, undisturbed):
    jobs = [world.post(duration_seconds=3.0, seed=seed) for seed in (7, 8)]
    world.worker()
    world.wait_kept(jobs[0], "bottom", 1)
    world.server.freeze()
    time.sleep(LEASE_SEC + 3)
    world.server.thaw()
    assert_promises(
        world, undisturbed, jobs, lost_at_most_sec=2 * LEASE_SEC + RESEND_SEC + SLACK_SEC
    )


def test_messages_deleted_by_an_accident(world, undisturbed):
    api = world.api().wait_ready()
    jobs = [accepted(api, seed=seed) for seed in (7, 8, 9)]
    with admin(world) as client:
        assert client.llen(queue_name(Stage.TOP)) == 3
        client.delete(queue_name(Stage.TOP))
    world.worker()
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=2 * RESEND_SEC + SLACK_SEC)


def test_a_full_server(world, undisturbed, busy):
    api, job_id = busy
    with admin(world) as client:
        client.config_set("maxmemory", "1")
        assert_away(api, reads_too=False)
        assert api.http.get(f"/jobs/{job_id}").status_code == 200, "reading goes on"
        time.sleep(6)
        client.config_set("maxmemory", "0")
    later = accepted(api, seed=8)
    assert_promises(world, undisturbed, [job_id, later], lost_at_most_sec=15 + SLACK_SEC)
    assert all(child.is_alive for child in world.children)


def test_a_server_that_is_full_when_messages_come(world, undisturbed):
    """The worker takes messages from a server that refuses every write."""
    world.worker(**LONG_LEASE)
    world.wait_workers(1)
    jobs = [world.post(duration_seconds=3.0)]
    with admin(world) as client:
        client.config_set("maxmemory", "1")
        time.sleep(4)
        client.config_set("maxmemory", "0")
    jobs.append(world.post(duration_seconds=3.0, seed=8))
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=4 + RESEND_SEC + SLACK_SEC)
    assert all(child.is_alive for child in world.children)


@contextmanager
def pauses(world, pause_ms):
    """Every command waits for a while, as behind a bad network."""
    is_over = threading.Event()

    def pause():
        with admin(world) as client:
            while not is_over.wait(0.05):
                client.execute_command("CLIENT", "PAUSE", pause_ms, "ALL")

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_slow_server(world, undisturbed, busy):
    api, job_id = busy
    with pauses(world, 300):
        later = accepted(api, seed=8)
        job = world.wait_end(job_id, timeout_sec=60)
    assert job.attempt == 1
    assert_promises(world, undisturbed, [job_id, later], lost_at_most_sec=10 + SLACK_SEC)


def test_a_server_whose_password_was_changed(world, undisturbed, busy):
    api, job_id = busy
    with admin(world) as client:
        client.config_set("requirepass", "changed")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert_away(api)
        time.sleep(3)
        client.config_set("requirepass", "")
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=10 + SLACK_SEC)
    assert all(child.is_alive for child in world.children)


def test_processes_that_were_given_a_wrong_password(world):
    with admin(world) as client:
        client.config_set("requirepass", "right")
    wrong = world.redis_url.replace("unix://", "unix://:wrong@")
    api = world.api(REDIS_URL=wrong).wait_ready()
    worker = world.worker(REDIS_URL=wrong)
    assert_away(api)
    deadline = time.monotonic() + START_SEC
    while "WRONGPASS" not in worker.log and "invalid" not in worker.log:
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.1)
    assert worker.is_alive
    assert "wrong@" not in worker.log + api.log
