"""The trash: a deleted job is in no list but its own, and comes back whole."""

from dataclasses import replace

import pytest
import redis

from jobs.errors import IllegalTransition, JobInTrash, JobNotFound
from jobs.idempotency import IdempotencyKey
from jobs.record.job import JobStatus
from jobs.store.scripts import KEY_PREFIX
from tests.jobs.records import ERROR, take
from tests.jobs.test_finding_jobs import a_job, found, list_keys

pytestmark = pytest.mark.redis

HOUR_SEC = 3600.0
WRITTEN = {"title": "Rain", "tags": ("a",), "favorite": True, "notes": "wet"}


@pytest.fixture
def server(clean_redis_url):
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def ended(store, n=0, **changes):
    job = store.create(replace(a_job(n, owner="me", **WRITTEN), **changes))
    return store.request_cancel(job.id)


def test_a_job_in_the_trash_is_in_its_list_alone(store):
    job, other = ended(store), ended(store, 1)
    assert store.delete(job.id, trash_sec=HOUR_SEC) is False
    every = [
        *({"status": status} for status in (None, JobStatus.CANCELED)),
        *({"text": "rain"}, {"tag": "a"}, {"favorite": True}, {"artist": "the sawtooths"}),
        *({"model": "tiny"}, {"order": "title"}, {"order": "created_at"}),
    ]
    for filters in every:
        assert found(store, **filters) == found(store, owner="me", **filters) == [other.id]
        for owner, expected in ((None, [job.id]), ("me", [job.id]), ("you", [])):
            assert found(store, in_trash=True, owner=owner, **filters) == expected
    others = ({"status": JobStatus.FAILED}, {"text": "snow"}, {"tag": "b"}, {"root": other.id})
    for filters in others:
        assert found(store, in_trash=True, **filters) == []
    assert found(store, in_trash=True, root=job.id) == [job.id]
    assert store.counts()[JobStatus.CANCELED] == 1


def test_a_restored_job_is_as_it_was(store, server):
    job = ended(store)
    before = list_keys(server)
    store.delete(job.id, trash_sec=HOUR_SEC)
    in_trash = store.get(job.id)
    assert (in_trash.expires_at - in_trash.deleted_at).total_seconds() == HOUR_SEC
    assert store.restore(job.id) == job
    assert list_keys(server) == before
    assert store.restore(job.id) == job, "there is nothing to restore"


def test_after_its_time_it_is_forgotten_even_if_it_was_pinned(store, server, clock):
    job = ended(store)
    store.set_pinned(job.id, True)
    store.delete(job.id, trash_sec=HOUR_SEC)
    clock.pass_time(HOUR_SEC - 60.0)
    assert store.expired() == []
    clock.pass_time(61.0)
    assert [store.expire(each) for each in store.expired()] == [True]
    assert list_keys(server) == {}
    assert [job_id for job_id, _ in store.untidy()] == [job.id]


def test_its_own_time_begins_anew_when_it_is_restored(store, clock):
    clock.stop()
    job = ended(store, kept_sec=100.0)
    store.delete(job.id, trash_sec=HOUR_SEC)
    clock.pass_time(200.0)
    assert store.expired() == [], "an hour is an hour"
    restored = store.restore(job.id)
    assert (restored.expires_at - job.expires_at).total_seconds() == 200.0
    pinned = store.set_pinned(ended(store, 1, kept_sec=100.0).id, True)
    store.delete(pinned.id, trash_sec=HOUR_SEC)
    assert store.restore(pinned.id) == pinned


def test_deleting_again_or_without_a_trash_forgets_at_once(store, server):
    first, second = ended(store), ended(store, 1)
    store.delete(first.id, trash_sec=HOUR_SEC)
    assert store.delete(first.id, trash_sec=HOUR_SEC) is True
    assert store.delete(second.id) is True
    assert list_keys(server) == {}
    for job in (first, second):
        with pytest.raises(JobNotFound):
            store.restore(job.id)


def test_only_what_has_ended_goes_to_the_trash(store):
    job = store.create(a_job())
    for _ in range(2):
        with pytest.raises(IllegalTransition):
            store.delete(job.id, trash_sec=HOUR_SEC)
        if store.get(job.id).status is JobStatus.QUEUED:
            take(store, job)
    assert store.get(job.id).deleted_at is None


def test_nothing_changes_in_the_trash(store):
    job = store.create(a_job(owner="me"))
    store.fail(take(store, job), ERROR)
    store.delete(job.id, trash_sec=HOUR_SEC)
    before = store.get(job.id)
    for change in (
        lambda: store.annotate(job.id, {"title": "x"}),
        lambda: store.set_pinned(job.id, True),
        lambda: store.retry(job.id),
    ):
        with pytest.raises(JobNotFound):
            change()
    with pytest.raises(JobInTrash) as caught:
        store.check_access(job.id)
    assert (caught.value.owner, caught.value.until) == ("me", before.expires_at)
    assert store.get(job.id) == before
    assert store.owner_of(job.id) == "me", "its files count for it"


def test_its_idempotency_key_is_free_as_if_it_were_gone(store):
    key = IdempotencyKey(caller="me", key="k", request_sha256="0" * 64)
    job = store.create(a_job(), idempotency=key)
    store.request_cancel(job.id)
    store.delete(job.id, trash_sec=HOUR_SEC)
    again = store.create(a_job(1), idempotency=key)
    assert again.id != job.id
    store.restore(job.id)
    assert store.replay(key).id == again.id


def test_what_an_older_release_removes_from_the_trash_leaves_all_lists(store, server):
    """It knows the record's `expires_at`, and nothing of the trash."""
    job = ended(store)
    store.delete(job.id, trash_sec=HOUR_SEC)
    server.delete(f"{KEY_PREFIX}job:{job.id}")
    store.unlist(job.id)
    assert list_keys(server) == {}
