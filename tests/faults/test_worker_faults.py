"""Workers that are killed, frozen, told to stop, or break from inside."""

import random
import time

import pytest

from jobs.record.job import JobStatus
from tests.faults.promises import assert_promises
from tests.worker.jobs_and_processes import LEASE_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

START_SEC = 30.0
"""A new worker imports torch and loads the model, on two cores that others use too."""
RESEND_SEC = 10.0
ONE_CRASH_SEC = LEASE_SEC + START_SEC + RESEND_SEC
POISON = 666
SONG_SEC = 3.0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("level", ["top", "middle", "bottom", "render"])
def test_a_worker_killed_at_any_moment_of_any_level(world, undisturbed, level, seed):
    job_id = world.post(duration_seconds=SONG_SEC, audio_format="flac")
    metrics = undisturbed.song_like(world.store.get(job_id)).metrics
    level_sec = metrics[level].seconds if level in metrics else 0.3
    first = world.worker()
    world.wait(job_id, lambda job: job.stage == level or job.is_terminal, timeout_sec=60)
    time.sleep(random.Random(f"{level}{seed}").random() * level_sec)
    first.kill()
    world.worker()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)


def test_a_worker_told_to_stop_gives_its_songs_back_within_ten_seconds(world, undisturbed):
    jobs = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (1, 2, 3)]
    first = world.worker()
    world.wait_kept(jobs[0], "bottom", 1)
    asked_at = time.monotonic()
    first.ask_to_stop()
    assert first.wait(10) == 0
    assert time.monotonic() - asked_at < 10
    for job in map(world.store.get, jobs):
        assert job.lease_expires_at is None
    world.worker()
    ended = assert_promises(world, undisturbed, jobs, lost_at_most_sec=START_SEC + ONE_CRASH_SEC)
    assert {job.attempt for job in ended} == {1}, "nobody crashed"


def test_a_worker_frozen_for_longer_than_its_lease_writes_nothing_any_more(world, undisturbed):
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "middle", 1)
    first.freeze()
    world.worker()
    world.wait(job_id, lambda job: job.worker == "w1" or job.is_terminal, timeout_sec=60)
    world.wait_kept(job_id, "bottom", 1)
    first.thaw()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)
    assert "stopped" in first.log


@pytest.mark.parametrize("name", ["middle-0", "bottom-00-", "codes-to-middle", "manifest"])
def test_a_worker_frozen_while_it_writes_a_file_leaves_nothing_behind(world, undisturbed, name):
    first = world.worker({"kind": "stop_in_sync", "name": name})
    job_id = world.post(duration_seconds=SONG_SEC)
    first.wait_frozen()
    world.worker()
    world.wait_end(job_id, timeout_sec=60)
    first.thaw()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)


@pytest.mark.parametrize(
    "name", ["top-0", "bottom-00000512", "codes-to-top", "middle-00-", "alignment", "manifest"]
)
def test_a_worker_that_dies_while_it_writes_a_file(world, undisturbed, name):
    first = world.worker({"kind": "die_in_sync", "name": name})
    job_id = world.post(duration_seconds=SONG_SEC)
    first.wait(60)
    assert any(name in file for file in world.files(job_id))
    world.worker()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC)


def test_a_bug_that_one_song_meets_in_the_engine_spares_the_others(world, undisturbed):
    world.worker({"kind": "fail_for_seed", "seed": POISON, "how": "bug"})
    bad = world.post(duration_seconds=SONG_SEC, seed=POISON)
    good = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (1, 2, 3)]
    assert_promises(
        world,
        undisturbed,
        [bad, *good],
        failed={bad: "internal_error"},
        lost_at_most_sec=START_SEC,
    )


def test_memory_that_is_short_for_a_moment_costs_nothing(world, undisturbed):
    world.worker({"kind": "fail_for_seed", "seed": POISON, "how": "memory", "times": 2})
    jobs = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (POISON, 1, 2, 3)]
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=START_SEC)


def test_a_song_too_large_for_the_memory_fails_and_says_so_and_the_others_go_on(world, undisturbed):
    world.worker({"kind": "fail_for_seed", "seed": POISON, "how": "memory"})
    bad = world.post(duration_seconds=SONG_SEC, seed=POISON)
    good = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (1, 2, 3)]
    assert_promises(
        world, undisturbed, [bad, *good], failed={bad: "out_of_memory"}, lost_at_most_sec=START_SEC
    )


def test_a_song_that_kills_every_worker_fails_after_three_attempts_and_takes_nobody_along(
    world, undisturbed
):
    fault = {"kind": "fail_for_seed", "seed": POISON, "how": "die"}
    bad = world.post(duration_seconds=SONG_SEC, seed=POISON)
    good = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (1, 2, 3)]
    deaths, deadline = 0, time.monotonic() + 110
    worker = world.worker(fault)
    while not all(world.store.get(job_id).is_terminal for job_id in (bad, *good)):
        assert time.monotonic() < deadline
        if not worker.is_alive:
            deaths += 1
            worker = world.worker(fault)
        time.sleep(0.05)
    assert deaths == 3
    assert world.store.get(bad).status is JobStatus.FAILED
    assert_promises(
        world,
        undisturbed,
        [bad, *good],
        failed={bad: "too_many_crashes"},
        lost_at_most_sec=3 * ONE_CRASH_SEC,
    )
