"""Records and messages that another release wrote: the trouble of one job, never of a loop."""

import json
from dataclasses import replace

import pytest
import redis

from jobs.errors import RecordUnreadable
from jobs.files.assets import LocalAssets
from jobs.files.local_artifacts import LocalArtifacts
from jobs.files.sweeper import Sweeper
from jobs.record.codec import RECORD_FORMAT
from jobs.record.job import JobStatus, Stage
from jobs.store.scripts import KEY_PREFIX, record_key
from jobs.webhooks.outbox import RedisWebhookOutbox
from tests.jobs.records import LEASE_SEC, created, new_job, take

pytestmark = pytest.mark.redis


@pytest.fixture
def server(clean_redis_url):
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def edit_request(server, job, **changes):
    key = record_key(job.id)
    server.hset(key, "request", json.dumps(json.loads(server.hget(key, "request")) | changes))


def claim(store, job, stage=Stage.TOP):
    return store.claim(job.id, stage, worker="w", lease_sec=LEASE_SEC)


def test_a_field_without_a_value_makes_no_difference(store, server):
    job = created(store)
    edit_request(server, job, loudness=None)
    assert store.get(job.id) == job
    assert claim(store, job) is not None


@pytest.mark.parametrize(
    "change", [{"loudness": -14}, {"sampling": {"top": {"min_p": 0.1}}}], ids=["request", "nested"]
)
def test_a_wish_that_only_a_newer_release_knows_is_left_to_it(store, server, change):
    job = created(store)
    edit_request(server, job, **change)
    before = server.hgetall(record_key(job.id))
    assert [claim(store, job) for _ in range(4)] == [None] * 4
    assert server.hgetall(record_key(job.id)) == before, "no attempt is used up"
    assert store.get(job.id) == replace(job, needs_newer_release=True)
    assert store.request_cancel(job.id).status is JobStatus.CANCELED


def test_a_newer_format_is_left_to_a_newer_worker_and_an_older_one_is_not(store, server):
    newer, older = created(store), created(store)
    server.hset(record_key(newer.id), "format", RECORD_FORMAT + 1)
    server.hdel(record_key(older.id), "format")
    assert claim(store, newer) is None
    assert claim(store, older) is not None


def test_parts_with_more_fields_are_read(store, server):
    job = created(store)
    take(store, job)
    key = record_key(job.id)
    more = {"tokens_total": 5, "windows_total": 1, "samples_per_token": 8, "cost": 3}
    server.hset(key, "plan", json.dumps({"top": more}))
    server.hset(key, "progress:top", '{"tokens_done":5,"windows_done":1,"seconds":2}')
    server.hset(key, "error", '{"code":"c","message":"m","retryable":true,"help":"h"}')
    read = store.get(job.id)
    assert read.plan["top"].tokens_total == read.progress["top"].tokens_done == 5
    assert read.error.code == "c"


UNREADABLE = {
    "mode": lambda server, job: edit_request(server, job, mode="remix"),
    "no JSON": lambda server, job: server.hset(record_key(job.id), "request", "{"),
    "no plan": lambda server, job: server.hdel(record_key(job.id), "plan"),
    "stage": lambda server, job: server.hset(record_key(job.id), "stage", "mastering"),
    "status": lambda server, job: server.hset(record_key(job.id), "status", "paused"),
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
def test_a_record_that_cannot_be_read_stops_nobody_else(store, server, spoil, clock, tmp_path):
    first, bad, last = (created(store) for _ in range(3))
    spoil(server, bad)
    with pytest.raises(RecordUnreadable, match=bad.id):
        store.get(bad.id)
    assert [job.id for job in store.list_jobs().jobs] == [last.id, first.id]
    seen, cursor = [], None
    for _ in range(3):
        page = store.list_jobs(limit=1, cursor=cursor)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
    assert (seen, cursor) == ([last.id, first.id], None)
    before = server.hgetall(record_key(bad.id))
    assert claim(store, bad) is None
    assert server.hgetall(record_key(bad.id)) == before
    clock.pass_time(60.0)
    assert {first.id, last.id} <= {due.job_id for due in store.due()}
    for job_id in (bad.id, first.id):
        server.zadd(f"{KEY_PREFIX}untidy", {job_id: 1})
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    Sweeper(store, artifacts, LocalAssets(tmp_path / "assets"), every_sec=60).sweep()
    assert [job_id for job_id, _ in store.untidy()] == [bad.id]


@pytest.mark.parametrize("index", ["deadlines", "expiries", "codes_expiries"])
def test_a_status_of_a_newer_release_is_left_to_it_when_its_time_comes(store, server, index, clock):
    job = created(store)
    key = record_key(job.id)
    moments = dict.fromkeys(("deadline_at", "expires_at", "codes_expire_at"), 1)
    server.hset(key, mapping={"status": "paused", **moments})
    server.zadd(f"{KEY_PREFIX}{index}", {job.id: 1})
    due, end = {
        "deadlines": (store.overdue, store.end_overdue),
        "expiries": (store.expired, store.expire),
        "codes_expiries": (store.expired_codes, store.expire_codes),
    }[index]
    assert due() == [job.id]
    assert end(job.id) is False
    assert (due(), server.hget(key, "status")) == ([], "paused")
    clock.pass_time(61.0)
    assert due() == [job.id]


def test_jobs_at_stages_of_a_newer_release_hide_no_other_job(store, server, clock):
    for _ in range(3):
        server.hset(record_key(created(store).id), "stage", "mastering")
    job = created(store)
    clock.pass_time(60.0)
    assert [due.job_id for due in (*store.due(limit=3), *store.due(limit=3))] == [job.id]


def test_workers_rates_and_webhooks_of_a_newer_release_are_passed_over(
    store, server, clean_redis_url
):
    store.record_rate("tiny", Stage.TOP, 5.0)
    server.hset(f"{KEY_PREFIX}rates:tiny", "mastering", "1.0")
    assert store.rates("tiny") == {Stage.TOP: 5.0}
    server.hset(f"{KEY_PREFIX}workers", "new", '5 {"stages":["top","mastering"],"rank":1}')
    assert [(worker.name, worker.stages) for worker in store.workers()] == [("new", (Stage.TOP,))]
    jobs = [store.create(new_job(webhook_url="https://a.example/")) for _ in range(2)]
    for job in jobs:
        store.request_cancel(job.id)
    message = next(server.scan_iter(f"{KEY_PREFIX}webhook:msg_{jobs[0].id[4:]}*"))
    server.hdel(message, "type")
    outbox = RedisWebhookOutbox(clean_redis_url)
    found = outbox.claim(limit=10, lease_sec=60, per_owner=9, held={})
    assert [message.job_id for message in found] == [jobs[1].id]
    outbox.close()
