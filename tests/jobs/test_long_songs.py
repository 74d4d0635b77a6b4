"""A record costs the same whatever the length of its song: the windows are kept beside it."""

from dataclasses import replace

import pytest
import redis

from jobs.record.codec import to_json, window_field
from jobs.record.job import Stage
from jobs.store.scripts import record_key
from tests.jobs.records import ERROR, METRICS, created, new_job, take, window

pytestmark = pytest.mark.redis

NUM_WINDOWS = 1260
"""Of ten minutes of 1b_lyrics."""
NAMES = [f"top-{n:08d}-fence000001.safetensors" for n in range(NUM_WINDOWS)]
WINDOWS = tuple(window(start=64 * n, end=64 * n + 64, name=NAMES[n]) for n in range(NUM_WINDOWS))


@pytest.fixture
def server(clean_redis_url):
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def long_song(store):
    return store.create(replace(new_job(), codes=WINDOWS))


def as_an_older_release_wrote_it(server, job):
    """The windows in the record itself."""
    key = record_key(job.id)
    server.hset(key, mapping={window_field(each): to_json(each) for each in WINDOWS})
    server.delete(f"{key}:windows")


def num_bytes_of(server, call):
    """What the server sends for a call."""
    before = server.info("stats")["total_net_output_bytes"]
    call()
    return server.info("stats")["total_net_output_bytes"] - before


def test_reading_a_long_song_costs_as_much_as_reading_a_short_one(store, server):
    short, long = created(store), long_song(store)
    costs = [num_bytes_of(server, lambda job=job: store.get(job.id)) for job in (short, long)]
    assert abs(costs[0] - costs[1]) < 1000
    assert store.get(long.id, with_windows=True).codes == WINDOWS
    assert store.get(long.id).codes is None


def test_a_page_of_long_songs_costs_as_much_as_one_of_short_songs(store, server):
    for _ in range(50):
        long_song(store)
    assert len(store.list_jobs(limit=50).jobs) == 50
    assert num_bytes_of(server, lambda: store.list_jobs(limit=50)) < 50 * 4000


def test_a_claim_and_the_next_stage_have_the_windows(store):
    claim = take(store, long_song(store))
    assert claim.job.codes == WINDOWS
    new = window(start=64 * NUM_WINDOWS, end=64 * NUM_WINDOWS + 64)
    store.record_window(claim, new)
    there = store.go_on(claim, Stage.MIDDLE, metrics=METRICS, codes_name="c", lease_sec=60.0)
    assert there.job.codes == (*WINDOWS, new)


def test_windows_that_were_not_read_are_never_taken_for_none(store):
    job = store.get(long_song(store).id)
    with pytest.raises(ValueError, match="without its windows"):
        job.codes_of("top")


def test_the_windows_of_a_deleted_job_go_with_it(store, server):
    job = long_song(store)
    store.request_cancel(job.id)
    store.delete(job.id)
    assert list(server.scan_iter(f"*{job.id}*")) == []


class TestOfAnOlderRelease:
    @pytest.fixture
    def job(self, store, server):
        job = long_song(store)
        as_an_older_release_wrote_it(server, job)
        return job

    def assert_moved(self, server, job):
        assert server.hlen(f"{record_key(job.id)}:windows") == NUM_WINDOWS
        assert not [field for field in server.hkeys(record_key(job.id)) if "window:" in field]

    @pytest.mark.parametrize(
        "read",
        [
            lambda store, job: store.get(job.id),
            lambda store, job: store.list_jobs(),
            lambda store, job: take(store, job),
            lambda store, job: store.request_cancel(job.id),
        ],
        ids=["get", "list", "claim", "cancel"],
    )
    def test_the_first_read_moves_the_windows(self, store, server, job, read):
        read(store, job)
        self.assert_moved(server, job)
        assert store.get(job.id, with_windows=True).codes == WINDOWS

    def test_a_claim_has_the_windows(self, store, job):
        assert take(store, job).job.codes == WINDOWS

    def test_a_window_that_an_older_worker_drew_again_replaces_the_one_before(
        self, store, server, job
    ):
        store.get(job.id)
        again = replace(WINDOWS[0], name="again")
        server.hset(record_key(job.id), window_field(again), to_json(again))
        assert store.get(job.id, with_windows=True).codes == (again, *WINDOWS[1:])

    def test_damaged_windows_are_forgotten(self, store, job):
        claim = take(store, job)
        store.forget_windows(claim, NAMES[:1000])
        assert store.get(job.id, with_windows=True).codes == WINDOWS[1000:]

    def test_the_codes_expire(self, store, server, clock):
        job = store.create(replace(new_job(), codes=WINDOWS, codes_kept_sec=10.0))
        as_an_older_release_wrote_it(server, job)
        store.fail(take(store, job), ERROR)
        as_an_older_release_wrote_it(server, job)
        clock.pass_time(11.0)
        assert store.expire_codes(job.id)
        assert store.get(job.id, with_windows=True).codes == ()

    def test_a_page_of_such_records_is_read_in_steps(self, store, server):
        jobs = [long_song(store) for _ in range(12)]
        for each in jobs:
            as_an_older_release_wrote_it(server, each)
        server.config_resetstat()
        assert [job.id for job in store.list_jobs().jobs] == [job.id for job in reversed(jobs)]
        assert server.info("commandstats")["cmdstat_evalsha"]["calls"] >= 3
