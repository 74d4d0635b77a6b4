"""Messages that come twice, and clocks that are wrong."""

import pytest

from tests.faults.promises import assert_promises
from tests.faults.test_redis_faults import SLACK_SEC, accepted
from tests.faults.test_worker_faults import ONE_CRASH_SEC, SONG_SEC, START_SEC

pytestmark = [pytest.mark.faults, pytest.mark.redis]

TWICE = {"kind": "send_twice"}
HOUR_SEC = 3600.0


def test_every_message_comes_twice(world, undisturbed):
    api = world.api(TWICE)
    world.worker(TWICE)
    world.worker(TWICE)
    api.wait_ready()
    jobs = [accepted(api, seed=seed, duration_seconds=SONG_SEC) for seed in (7, 8)]
    ended = assert_promises(world, undisturbed, jobs, lost_at_most_sec=START_SEC + SLACK_SEC)
    assert {(job.attempt, job.fence) for job in ended} == {(1, 1)}, "one claim for all stages"


@pytest.mark.parametrize("by_sec", [HOUR_SEC, -HOUR_SEC])
def test_the_clock_of_a_worker_jumps_while_it_draws(world, undisturbed, by_sec):
    jobs = [world.post(duration_seconds=SONG_SEC, seed=seed) for seed in (7, 8)]
    world.worker({"kind": "jump", "after_sec": 5.0, "by_sec": by_sec})
    ended = assert_promises(world, undisturbed, jobs, lost_at_most_sec=START_SEC + SLACK_SEC)
    assert {job.attempt for job in ended} == {1}
    for job in ended:
        assert (job.completed_at - job.created_at).total_seconds() < 60


@pytest.mark.parametrize("by_sec", [HOUR_SEC, -HOUR_SEC])
def test_the_clock_of_a_worker_is_wrong_and_another_one_is_killed(world, undisturbed, by_sec):
    first = world.worker()
    job_id = world.post(duration_seconds=SONG_SEC)
    world.wait_kept(job_id, "bottom", 1)
    first.kill()
    world.worker({"kind": "jump", "after_sec": 0.0, "by_sec": by_sec})
    [job] = assert_promises(
        world, undisturbed, [job_id], lost_at_most_sec=START_SEC + ONE_CRASH_SEC
    )
    assert job.attempt == 2
