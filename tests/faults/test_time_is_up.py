"""Deadlines and expiry, while those who should see to them are frozen, dead or killed over it."""

import time

import pytest

from jobs.record.job import Stage
from tests.faults.promises import assert_promises
from tests.faults.test_redis_faults import SLACK_SEC, accepted, song
from tests.faults.test_worker_faults import SONG_SEC, START_SEC
from tests.worker.jobs_and_processes import LEASE_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

LONG_SEC = 20.0
"""A song that nobody draws in the time that the tests give it."""
SWEEP = {"JUKEBOX_TUNING": "sweep_sec=0.2"}


def seconds_late(job):
    return (job.completed_at - job.deadline_at).total_seconds()


def test_a_running_song_fails_at_its_deadline_and_its_neighbors_sing_on(world, undisturbed):
    worker = world.worker()
    world.wait_workers(1)
    late = world.post(duration_seconds=LONG_SEC, num_samples=8, timeout_seconds=3.0)
    other = world.post(duration_seconds=SONG_SEC)
    jobs = assert_promises(
        world,
        undisturbed,
        [late, other],
        failed={late: "deadline_exceeded"},
        lost_at_most_sec=START_SEC,
    )
    assert 0 <= seconds_late(jobs[0]) < 2.0
    assert worker.is_alive


def test_a_song_whose_worker_is_frozen_fails_all_the_same(world, undisturbed):
    api = world.api(**SWEEP).wait_ready()
    worker = world.worker()
    world.wait_workers(1)
    late = accepted(api, **song(duration_seconds=LONG_SEC, num_samples=4, timeout_seconds=4.0))
    world.wait_kept(late, "top", 1)
    worker.freeze()
    job = world.wait_end(late, timeout_sec=30)
    assert 0 <= seconds_late(job) < 2.0
    worker.thaw()
    assert_promises(
        world,
        undisturbed,
        [late],
        failed={late: "deadline_exceeded"},
        lost_at_most_sec=START_SEC,
    )


def test_a_song_whose_worker_is_dead_fails_though_no_api_lives(world, undisturbed):
    """The reaper of another worker sends it again, and the claim sees what time it is."""
    first = world.worker()
    world.wait_workers(1)
    late = world.post(duration_seconds=LONG_SEC, num_samples=4, timeout_seconds=4.0)
    world.wait_kept(late, "top", 1)
    first.kill()
    world.worker()
    [job] = assert_promises(
        world,
        undisturbed,
        [late],
        failed={late: "deadline_exceeded"},
        lost_at_most_sec=2 * START_SEC,
    )
    assert seconds_late(job) < LEASE_SEC + 2 * START_SEC


def test_a_song_that_nobody_takes_fails_at_its_deadline(world, undisturbed):
    api = world.api(**SWEEP).wait_ready()
    late = accepted(api, **song(timeout_seconds=1.0))
    job = world.wait_end(late, timeout_sec=20)
    assert (job.error.code, job.started_at) == ("deadline_exceeded", None)
    assert 0 <= seconds_late(job) < 2.0
    # Its message waits still; whoever takes it finds nothing to do.
    world.worker()
    deadline = time.monotonic() + START_SEC
    while world.queue.depth(Stage.TOP) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert_promises(
        world,
        undisturbed,
        [late],
        failed={late: "deadline_exceeded"},
        lost_at_most_sec=SLACK_SEC,
    )


def test_a_retry_after_the_deadline_goes_on_from_what_was_kept(world, undisturbed):
    world.worker()
    world.wait_workers(1)
    job_id = world.post(duration_seconds=SONG_SEC, timeout_seconds=0.8)
    failed = world.wait_end(job_id, timeout_sec=20)
    assert failed.error.code == "deadline_exceeded"
    for _ in range(40):
        waiting, _ = world.store.retry(job_id)
        world.queue.publish(job_id, waiting.stage)
        job = world.wait_end(job_id, timeout_sec=20)
        assert len(job.codes) >= len(failed.codes)
        if job.status == "succeeded":
            break
        assert job.error.code == "deadline_exceeded"
        failed = job
    assert job.status == "succeeded"


def test_an_api_that_is_killed_while_songs_expire_leaves_the_rest_to_another(world):
    keep = {"JUKEBOX_RETENTION": "keep_jobs_sec=2.0", **SWEEP}
    first = world.api(**keep).wait_ready()
    world.worker()
    jobs = [accepted(first, **song(levels=["top"], seed=seed)) for seed in range(8)]
    for job_id in jobs:
        assert world.wait_end(job_id, timeout_sec=60).status == "succeeded"
    pinned = jobs.pop()
    assert first.http.post(f"/jobs/{pinned}/pin").json()["pinned"]
    deadline = time.monotonic() + 20
    while all(world.files(job_id) for job_id in jobs) and time.monotonic() < deadline:
        time.sleep(0.005)
    first.kill()
    second = world.api(**keep).wait_ready()
    while any(world.files(job_id) for job_id in jobs) and time.monotonic() < deadline + 20:
        time.sleep(0.1)
    assert [world.files(job_id) for job_id in jobs] == [[]] * len(jobs)
    assert {second.http.get(f"/jobs/{job_id}").status_code for job_id in jobs} == {404}
    assert world.files(pinned)
    assert second.http.get(f"/jobs/{pinned}/audio").status_code == 200
