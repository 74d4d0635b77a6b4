"""Pages of jobs: newest first, none twice, none left out."""

import threading
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from jobs.errors import InvalidCursor
from jobs.record.job import JobStatus, Stage, new_job_id
from jobs.store import JobStore
from jobs.store.scripts import MAX_LIST_WORK, index_key, root_index_key
from tests.jobs.records import new_job

pytestmark = pytest.mark.redis

NOON = datetime(2020, 11, 22, 12, tzinfo=UTC)


def ids(jobs):
    return [job.id for job in jobs]


def create_all(store, jobs):
    for job in jobs:
        store.create(job)
    return jobs


def pages(store, limit, **filters):
    cursor, found = None, []
    while True:
        page = store.list_jobs(limit=limit, cursor=cursor, **filters)
        assert len(page.jobs) <= limit
        found.append(page.jobs)
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_no_jobs_make_one_empty_page(store):
    page = store.list_jobs()
    assert (page.jobs, page.next_cursor) == ((), None)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_show_every_job_once_newest_first(store, limit):
    jobs = create_all(store, [new_job(created_at=NOON + timedelta(seconds=n)) for n in range(7)])
    found = pages(store, limit)
    assert ids(job for page in found for job in page) == ids(reversed(jobs))
    assert len(found) == -(-7 // limit)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_jobs_of_the_same_microsecond_are_told_apart(store, limit):
    jobs = create_all(store, [new_job(created_at=NOON) for _ in range(6)])
    jobs += create_all(store, [new_job(created_at=NOON - timedelta(microseconds=1))])
    found = [job for page in pages(store, limit) for job in page]
    assert ids(found) == [*sorted(ids(jobs[:6]), reverse=True), jobs[6].id]


def test_a_list_shows_whole_records(store):
    job = new_job()
    store.create(job)
    assert store.list_jobs().jobs == (job,)


def test_filters_go_together(store):
    tiny = create_all(store, [new_job(created_at=NOON + timedelta(seconds=n)) for n in range(4)])
    mini = create_all(store, [new_job(model="mini", created_at=NOON) for _ in range(2)])
    store.request_cancel(tiny[0].id)
    store.request_cancel(tiny[1].id)
    store.request_cancel(mini[0].id)
    canceled = JobStatus.CANCELED
    assert ids(store.list_jobs(model="tiny").jobs) == ids(reversed(tiny))
    assert ids(store.list_jobs(status=canceled, model="tiny").jobs) == ids([tiny[1], tiny[0]])
    assert ids(store.list_jobs(status=canceled, model="mini").jobs) == [mini[0].id]
    assert ids(store.list_jobs(status=JobStatus.QUEUED, model="mini").jobs) == [mini[1].id]
    assert store.list_jobs(status=JobStatus.FAILED).jobs == ()
    assert store.list_jobs(model="none").jobs == ()
    after = tiny[1].created_at
    assert ids(store.list_jobs(created_after=after).jobs) == ids([tiny[3], tiny[2]])
    assert ids(j for p in pages(store, 1, created_after=after) for j in p) == ids(
        [tiny[3], tiny[2]]
    )


def test_a_cursor_outlives_the_job_it_points_at(store):
    jobs = create_all(store, [new_job(created_at=NOON + timedelta(seconds=n)) for n in range(4)])
    first = store.list_jobs(limit=2)
    store.request_cancel(jobs[2].id)
    store.delete(jobs[2].id)
    assert ids(store.list_jobs(limit=2, cursor=first.next_cursor).jobs) == ids([jobs[1], jobs[0]])


def test_jobs_that_arrive_while_somebody_turns_pages_disturb_nothing(store, clean_redis_url):
    old = create_all(store, [new_job(created_at=NOON - timedelta(days=n)) for n in range(30)])
    stop = threading.Event()

    def arrive():
        writer = JobStore(clean_redis_url)
        while not stop.is_set():
            writer.create(new_job())
        writer.close()

    thread = threading.Thread(target=arrive)
    thread.start()
    try:
        found = [ids(job for page in pages(store, 2) for job in page) for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    for seen in found:
        assert len(seen) == len(set(seen))
        assert seen[-len(old) :] == ids(old)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ä",
        "%%%%",
        "12.job_1",
        *(
            urlsafe_b64encode(text).decode()
            for text in (
                b"12",
                b"-1.job_" + b"0" * 32,
                b"1e9.job_" + b"0" * 32,
                b"1.job_" + b"0" * 31,
                b"\xff",
            )
        ),
    ],
)
def test_a_made_up_cursor_is_refused(store, cursor):
    with pytest.raises(InvalidCursor):
        store.list_jobs(cursor=cursor)


def test_the_queue_is_in_order_of_arrival_even_when_written_out_of_order(store):
    late = new_job(created_at=NOON + timedelta(seconds=1))
    early = new_job(created_at=NOON)
    create_all(store, [late, early])
    assert [store.queue_position(job.id) for job in (early, late)] == [0, 1]
    store.claim(early.id, Stage.TOP, worker="w", lease_sec=30.0)
    assert store.queue_position(late.id) == 0


class TestFiltersThatFewJobsPass:
    NUM_OTHERS = 30_000

    @pytest.fixture
    def wanted(self, store, clean_redis_url):
        """The oldest job of one key and one tree, and many others that are in one of the two."""
        wanted = store.create(replace(new_job(created_at=NOON), owner="k"))
        moments = {new_job_id(): 2e15 + n for n in range(self.NUM_OTHERS)}
        others = {new_job_id(): 2e15 + n for n in range(self.NUM_OTHERS)}
        with redis.Redis.from_url(clean_redis_url) as server:
            server.zadd(index_key(owner="k"), moments)
            server.zadd(root_index_key(wanted.id), others)
        return wanted

    def test_one_is_found_in_steps_that_are_all_small(self, store, clean_redis_url, wanted):
        with redis.Redis.from_url(clean_redis_url) as server:
            server.config_resetstat()
            page = store.list_jobs(owner="k", root=wanted.id)
            used = server.info("commandstats")
        assert (ids(page.jobs), page.next_cursor) == ([wanted.id], None)
        steps = used["cmdstat_evalsha"]["calls"]
        assert used["cmdstat_zscore"]["calls"] <= steps * MAX_LIST_WORK
        assert steps >= self.NUM_OTHERS / MAX_LIST_WORK

    def test_a_page_ends_early_rather_than_looking_at_everything(self, store, wanted, monkeypatch):
        monkeypatch.setattr("jobs.store.lists._MAX_CALLS_OF_A_PAGE", 1)
        found = pages(store, 5, owner="k", root=wanted.id)
        assert found[:-1] == [()] * (len(found) - 1)
        assert ids(found[-1]) == [wanted.id]

    def test_a_status_that_no_job_has_costs_nothing(self, store, clean_redis_url, wanted):
        with redis.Redis.from_url(clean_redis_url) as server:
            server.config_resetstat()
            assert store.list_jobs(owner="k", status=JobStatus.FAILED, model="tiny").jobs == ()
            assert store.list_jobs(root=wanted.id, status=JobStatus.FAILED).jobs == ()
            assert "cmdstat_zscore" not in server.info("commandstats")
