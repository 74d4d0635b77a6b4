"""Events arrive as they happen, in order, and can be read again from any id."""

import asyncio
import time

import pytest
import redis

from jobs.errors import InvalidCursor, StoreUnavailable
from jobs.record.job import JobError, LevelMetrics, LevelProgress, Stage, new_job_id
from jobs.store import JobStore, JobWatcher
from jobs.store.scripts import MAX_EVENTS
from tests.jobs.records import new_job, output

pytestmark = pytest.mark.redis

LEASE_SEC = 30.0
METRICS = LevelMetrics(seconds=1.5, tokens_per_second=83.3)


def watch(redis_url, scene):
    """Run `scene(watcher)` in an event loop of its own."""

    async def run():
        watcher = JobWatcher(redis_url)
        try:
            return await scene(watcher)
        finally:
            await watcher.close()

    return asyncio.run(run())


def all_events(redis_url, job_id):
    events = watch(redis_url, lambda w: w.events_after(job_id, "0-0", timeout_sec=0))
    return [(event.kind, dict(event.data)) for event in events]


def claimed(store, **request):
    job = new_job(**request)
    store.create(job)
    claim = store.claim(job.id, Stage.TOP, worker="w", lease_sec=LEASE_SEC)
    assert claim is not None
    return claim


def test_the_events_of_a_draft_tell_its_whole_story(store, clean_redis_url):
    claim = claimed(store, levels=["top"])
    job_id = claim.job.id
    progress = LevelProgress(tokens_done=125, windows_done=2)
    for _ in range(2):
        store.heartbeat(claim, {"top": progress}, 0.5, seconds_left=12.5, lease_sec=LEASE_SEC)
    store.record_outputs(claim, [output(), output(sample=1)])
    store.finish_stage(claim, Stage.RENDER, metrics=METRICS, codes_name="codes")
    render = store.claim(job_id, Stage.RENDER, worker="w", lease_sec=LEASE_SEC)
    store.heartbeat(render, {}, 0.75, lease_sec=LEASE_SEC)
    store.succeed(render)
    levels = {"top": {"tokens_done": 125, "windows_done": 2}}
    assert all_events(clean_redis_url, job_id) == [
        ("status", {"status": "queued", "stage": "top"}),
        ("status", {"status": "running", "stage": "top"}),
        ("progress", {"value": 0.5, "level": "top", "eta_seconds": 12.5, "levels": levels}),
        ("output", {"level": "top", "sample": 0}),
        ("output", {"level": "top", "sample": 1}),
        ("stage", {"stage": "render"}),
        ("status", {"status": "running", "stage": "render"}),
        ("progress", {"value": 0.75, "level": None, "eta_seconds": 12.5, "levels": levels}),
        ("status", {"status": "succeeded", "stage": "render"}),
    ]


def test_a_cancel_is_heard_at_once(store, clean_redis_url):
    claim = claimed(store)
    store.request_cancel(claim.job.id)
    store.cancel(claim)
    statuses = [data["status"] for _, data in all_events(clean_redis_url, claim.job.id)]
    assert statuses == ["queued", "running", "canceling", "canceled"]


def test_a_failure_is_heard(store, clean_redis_url):
    claim = claimed(store)
    store.fail(claim, JobError(code="x", message="y", retryable=False))
    kind, data = all_events(clean_redis_url, claim.job.id)[-1]
    assert (kind, data["status"]) == ("status", "failed")


def test_a_waiting_watcher_wakes_with_the_event(store, clean_redis_url):
    claim = claimed(store)
    job_id = claim.job.id

    async def scene(watcher):
        last = await watcher.last_event_id(job_id)
        waiting = asyncio.create_task(watcher.events_after(job_id, last, timeout_sec=60))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        began = time.monotonic()
        await asyncio.to_thread(store.request_cancel, job_id)
        [event] = await waiting
        assert time.monotonic() - began < 30
        assert event.data["status"] == "canceling"
        assert await watcher.last_event_id(job_id) == event.id

    watch(clean_redis_url, scene)


def test_a_watcher_waits_no_longer_than_it_says(store, clean_redis_url):
    job = new_job()
    store.create(job)

    async def scene(watcher):
        last = await watcher.last_event_id(job.id)
        for timeout_sec in (0, 0.3):
            began = time.monotonic()
            assert await watcher.events_after(job.id, last, timeout_sec=timeout_sec) == []
            assert timeout_sec <= time.monotonic() - began + 0.05 < timeout_sec + 20

    watch(clean_redis_url, scene)


def test_a_hundred_watchers_wait_at_once(store, clean_redis_url):
    job = new_job()
    store.create(job)

    async def scene(watcher):
        last = await watcher.last_event_id(job.id)
        waiting = [
            asyncio.create_task(watcher.events_after(job.id, last, timeout_sec=60))
            for _ in range(100)
        ]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(store.request_cancel, job.id)
        for events in await asyncio.wait_for(asyncio.gather(*waiting), 60):
            assert [event.data["status"] for event in events] == ["canceled"]

    watch(clean_redis_url, scene)


def test_those_who_wait_for_the_same_event_share_a_connection(store, clean_redis_url):
    job = new_job()
    store.create(job)

    async def scene(watcher):
        last = await watcher.last_event_id(job.id)

        def wait(timeout_sec):
            return asyncio.create_task(watcher.events_after(job.id, last, timeout_sec=timeout_sec))

        patient, others = wait(60), [wait(60) for _ in range(20)]
        with redis.Redis.from_url(clean_redis_url) as server:
            while not server.info("clients")["blocked_clients"]:
                await asyncio.sleep(0.01)
            # One with less patience hears nothing, and who gives up takes nothing from the others.
            assert await wait(0.2) == []
            others.pop().cancel()
            assert server.info("clients")["blocked_clients"] == 1
            await asyncio.to_thread(store.request_cancel, job.id)
            [event] = await asyncio.wait_for(patient, 60)
            assert all([await other == [event] for other in others])
            # The last who gives up gives the connection back.
            lonely = asyncio.create_task(watcher.events_after(job.id, event.id, timeout_sec=60))
            while not server.info("clients")["blocked_clients"]:
                await asyncio.sleep(0.01)
            lonely.cancel()
            await asyncio.gather(lonely, return_exceptions=True)
            while server.info("clients")["blocked_clients"]:
                await asyncio.sleep(0.01)

    watch(clean_redis_url, scene)


def test_who_joins_somebody_impatient_waits_as_long_as_it_says(store, clean_redis_url):
    job = new_job()
    store.create(job)

    async def scene(watcher):
        last = await watcher.last_event_id(job.id)
        impatient = asyncio.create_task(watcher.events_after(job.id, last, timeout_sec=0.1))
        await asyncio.sleep(0)
        joined = asyncio.create_task(watcher.events_after(job.id, last, timeout_sec=60))
        assert await impatient == []
        assert not joined.done()
        await asyncio.to_thread(store.request_cancel, job.id)
        assert [event.data["status"] for event in await joined] == ["canceled"]

    watch(clean_redis_url, scene)


def test_a_watcher_that_gives_up_waiting_can_ask_again(store, clean_redis_url):
    job = new_job()
    store.create(job)

    async def scene(watcher):
        last = await watcher.last_event_id(job.id)
        waiting = asyncio.create_task(watcher.events_after(job.id, last, timeout_sec=60))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        store.request_cancel(job.id)
        [event] = await watcher.events_after(job.id, last, timeout_sec=60)
        assert event.data["status"] == "canceled"

    watch(clean_redis_url, scene)


def test_a_job_without_events_has_the_first_id(clean_redis_url):
    assert watch(clean_redis_url, lambda w: w.last_event_id(new_job_id())) == "0-0"


@pytest.mark.parametrize("event_id", ["", "$", "+", "now", "1-2-3", "-1", "9" * 30, "1 COUNT 5"])
def test_a_made_up_event_id_is_refused(clean_redis_url, event_id):
    with pytest.raises(InvalidCursor):
        watch(clean_redis_url, lambda w: w.events_after(new_job_id(), event_id, timeout_sec=0))


def test_old_events_are_forgotten(store, clean_redis_url):
    claim = claimed(store)
    for step in range(MAX_EVENTS + 200):
        store.heartbeat(claim, {}, step / (MAX_EVENTS + 200), lease_sec=LEASE_SEC)
    assert MAX_EVENTS <= len(all_events(clean_redis_url, claim.job.id)) < MAX_EVENTS + 150


def test_a_server_that_is_away_or_hangs_is_noticed(redis_server):
    store = JobStore(redis_server.url)
    job = new_job()
    store.create(job)
    store.close()

    async def scene(watcher):
        assert await watcher.last_event_id(job.id) != "0-0"
        redis_server.freeze()
        try:
            with pytest.raises(StoreUnavailable):
                await watcher.last_event_id(job.id)
            with pytest.raises(StoreUnavailable):
                await watcher.events_after(job.id, "0-0", timeout_sec=0.1)
        finally:
            redis_server.thaw()
        assert len(await watcher.events_after(job.id, "0-0", timeout_sec=0)) == 1
        redis_server.kill()
        with pytest.raises(StoreUnavailable):
            await watcher.last_event_id(job.id)
        redis_server.restart()
        assert len(await watcher.events_after(job.id, "0-0", timeout_sec=0)) == 1

    watch(redis_server.url, scene)
