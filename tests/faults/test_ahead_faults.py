"""Workers and servers that are lost while levels are drawn before their stage."""

import pytest

from jobs.record.job import Stage
from tests.faults.promises import assert_promises
from tests.faults.test_worker_faults import ONE_CRASH_SEC, SONG_SEC, START_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

AHEAD = {"JUKEBOX_TUNING": "reaper_sec=0.3,overlap=on"}
LONGER_SEC = 4 * SONG_SEC
"""Six windows of the top: the middle is begun after the first."""
LOST_SEC = START_SEC + ONE_CRASH_SEC


def wait_ahead(world, job_id):
    """Until a window of the middle is on record, which is long before the top is done."""
    return world.wait_kept(job_id, "middle", 1)


def test_a_worker_killed_while_it_draws_ahead(world, undisturbed):
    first = world.worker(**AHEAD)
    job_id = world.post(duration_seconds=LONGER_SEC, levels=["top", "middle"])
    kept = wait_ahead(world, job_id)
    first.kill()
    world.worker(**AHEAD)
    [job] = assert_promises(world, undisturbed, [job_id], lost_at_most_sec=LOST_SEC)
    assert set(kept.codes) <= set(job.codes), "what was on record was not drawn again"


def test_a_worker_that_dies_while_it_writes_a_window_ahead_of_its_stage(world, undisturbed):
    first = world.worker({"kind": "die_in_sync", "name": "middle-0"}, **AHEAD)
    job_id = world.post(duration_seconds=LONGER_SEC, levels=["top", "middle"])
    first.wait(60)
    assert world.store.get(job_id).stage is Stage.TOP
    world.worker(**AHEAD)
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=LOST_SEC)


def test_a_worker_frozen_while_it_draws_ahead_and_thawed_when_another_has_the_song(
    world, undisturbed
):
    first = world.worker({"kind": "stop_in_sync", "name": "middle-0", "after": 1}, **AHEAD)
    job_id = world.post(duration_seconds=LONGER_SEC, levels=["top", "middle"])
    first.wait_frozen()
    world.worker(**AHEAD)
    world.wait(job_id, lambda job: job.worker == "w1" or job.is_terminal, timeout_sec=60)
    first.thaw()
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=LOST_SEC)


def test_a_server_killed_while_a_worker_draws_ahead(world, undisturbed):
    world.worker(**AHEAD)
    job_id = world.post(duration_seconds=LONGER_SEC, levels=["top", "middle"])
    wait_ahead(world, job_id)
    world.server.kill()
    world.server.start()
    [job] = assert_promises(world, undisturbed, [job_id], lost_at_most_sec=LOST_SEC)
    assert job.attempt == 1
