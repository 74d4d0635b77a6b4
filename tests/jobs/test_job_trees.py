"""Jobs that go on from others: who descends from whom, and what a worker adds to a prompt."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import InvalidCursor, JobNotFound, LeaseLost
from jobs.record.job import Job, JobStatus
from jobs.store import JobStore
from jobs.store.scripts import FEED_KEY
from tests.jobs.records import SHORT_LEASE_SEC, created, let_the_lease_end, new_job, take

pytestmark = pytest.mark.redis

NOON = datetime(2020, 11, 22, 12, tzinfo=UTC)


def ids(jobs):
    return [job.id for job in jobs]


def born(store: JobStore, parent: Job | None, number: int, **request) -> Job:
    """A record that is `number` seconds younger than noon."""
    job = new_job(parent=parent, created_at=NOON + timedelta(seconds=number), **request)
    store.create(job)
    return job


def test_children_are_one_generation_and_the_root_has_them_all(store):
    root = born(store, None, 0)
    first, second = born(store, root, 1), born(store, root, 2)
    grandchild = born(store, first, 3)
    stranger = born(store, None, 4)
    assert ids(store.children(root.id).jobs) == ids([second, first])
    assert ids(store.children(first.id).jobs) == [grandchild.id]
    assert store.children(grandchild.id).jobs == ()
    assert ids(store.list_jobs(root=root.id).jobs) == ids([grandchild, second, first, root])
    assert ids(store.list_jobs(root=stranger.id).jobs) == [stranger.id]
    assert store.list_jobs(root=first.id).jobs == ()


def test_a_child_comes_back_with_its_line(store):
    root = born(store, None, 0)
    child = born(store, root, 1)
    grandchild = born(store, child, 2)
    assert store.get(grandchild.id) == grandchild
    assert (grandchild.parent_id, grandchild.root_id) == (child.id, root.id)


@pytest.mark.parametrize("limit", [1, 2, 4, 9])
def test_pages_of_children_show_each_once(store, limit):
    root = born(store, None, 0)
    children = [born(store, root, n) for n in range(1, 9)]
    cursor, found = None, []
    while True:
        page = store.children(root.id, limit=limit, cursor=cursor)
        found += ids(page.jobs)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == ids(reversed(children))


def test_a_tree_can_be_filtered_page_by_page(store):
    root = born(store, None, 0)
    jobs = [born(store, root, n, model="mini" if n % 2 else "tiny") for n in range(1, 7)]
    store.request_cancel(jobs[0].id)
    store.request_cancel(jobs[2].id)
    mini = ids([jobs[4], jobs[2], jobs[0]])
    assert ids(store.list_jobs(root=root.id, model="mini").jobs) == mini
    canceled = store.list_jobs(root=root.id, model="mini", status=JobStatus.CANCELED, limit=1)
    assert ids(canceled.jobs) == [jobs[2].id]
    rest = store.list_jobs(
        root=root.id, status=JobStatus.CANCELED, limit=1, cursor=canceled.next_cursor
    )
    assert (ids(rest.jobs), rest.next_cursor) == ([jobs[0].id], None)
    assert store.list_jobs(root=root.id, model="none").jobs == ()


def test_children_outlive_their_parent_and_leave_no_index_behind(store, clean_redis_url):
    root = born(store, None, 0)
    child = born(store, root, 1)
    for job in (root, child):
        store.request_cancel(job.id)
    store.delete(root.id)
    assert ids(store.children(root.id).jobs) == [child.id]
    assert ids(store.list_jobs(root=root.id).jobs) == [child.id]
    assert store.get(child.id).parent_id == root.id
    store.delete(child.id)
    assert store.children(root.id).jobs == ()
    assert store.list_jobs().jobs == ()
    for job in (root, child):
        store.tidied(job.id)
    assert store._redis.keys("*") == [FEED_KEY]


def test_what_is_no_id_never_becomes_a_key(store):
    for text in ("", "*", "job_1", "x:status=queued"):
        with pytest.raises(JobNotFound):
            store.children(text)
        with pytest.raises(JobNotFound):
            store.list_jobs(root=text)
    with pytest.raises(InvalidCursor):
        store.children(new_job().id, cursor="made-up")


def test_a_worker_adds_the_codes_of_an_audio_prompt_once_they_are_there(store):
    job = created(store)
    store.record_prompt(take(store, job), "prompt-to-top-fence000001.safetensors")
    assert store.get(job.id).prompt_codes_name == "prompt-to-top-fence000001.safetensors"


def test_a_worker_that_lost_its_lease_adds_no_prompt(store, clock):
    job = created(store)
    late = take(store, job, lease_sec=SHORT_LEASE_SEC)
    let_the_lease_end(clock)
    store.record_prompt(take(store, job), "second")
    with pytest.raises(LeaseLost):
        store.record_prompt(late, "first")
    assert store.get(job.id).prompt_codes_name == "second"
