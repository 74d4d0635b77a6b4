"""The master of two servers dies; sentinels make the other one the master."""

import pytest

from tests.faults.promises import assert_promises
from tests.faults.test_redis_faults import LONG_LEASE, accepted, song
from tests.faults.world import World
from tests.fixtures.sentinels import WatchedServers

pytestmark = [pytest.mark.faults, pytest.mark.redis]

FAIL_OVER_SEC = 30.0


@pytest.fixture
def watched(tmp_path_factory):
    servers = WatchedServers(tmp_path_factory.mktemp("sentinels"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def watched_world(watched, tmp_path, models_dir):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    world = World(redis_url=watched.url, data_dir=data_dir, models_dir=models_dir, server=watched)
    try:
        yield world
    finally:
        world.end()


def test_a_song_survives_a_fail_over_in_the_middle_of_a_level(watched, watched_world, undisturbed):
    world = watched_world
    api = world.api()
    world.worker(**LONG_LEASE)
    api.wait_ready()
    jobs = [accepted(api, seed=seed) for seed in (7, 8)]
    world.wait_kept(jobs[0], "middle", 1)
    # Acknowledged at the last moment: it has to be on the replica by then.
    jobs.append(accepted(api, seed=9))
    dead = watched.kill_master()
    watched.wait_for_another_master(than=dead)
    # A write needs a replica before it counts, so the service waits for one.
    watched.start_again(dead)
    assert_promises(world, undisturbed, jobs, lost_at_most_sec=2 * FAIL_OVER_SEC)
    answer = api.http.get("/jobs").json()
    assert {job["id"] for job in answer["data"]} == set(jobs)


def test_a_write_without_a_replica_is_refused_and_the_service_comes_back(
    watched, watched_world, undisturbed
):
    world = watched_world
    api = world.api().wait_ready()
    replica = watched.kill_replica()
    answer = api.http.post("/jobs", json=song(seed=99))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    watched.start_again(replica)
    world.worker()
    watched.wait_for_replica()
    job_id = accepted(api, seed=8)
    assert_promises(world, undisturbed, [job_id], lost_at_most_sec=FAIL_OVER_SEC)
