"""Server-sent events of jobs that come to an end (this client hears a stream when it is over)."""

import asyncio

import pytest

from jobs.record.job import JobError, new_job_id
from tests.api.conftest import Service, assert_problem
from tests.api.sse import Event, open_stream, read_events
from tests.api.test_live import app_of

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def stream(service: Service, job: dict, *, after: str | None = None) -> list[Event]:
    headers = {"last-event-id": after} if after else {}
    response = await service.client.get(job["urls"]["events"], headers=headers, timeout=60)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    return list(read_events(response.text.split("\n")))


async def test_the_stream_begins_with_the_whole_job_and_ends_with_it(service: Service):
    job = await service.post()
    listening = asyncio.create_task(stream(service, job))
    await service.somebody_waits()
    service.worker.sing(job["id"])

    events = await asyncio.wait_for(listening, 60)

    assert events[0].kind == "snapshot"
    assert events[0].data["status"] == "queued"
    assert events[0].data["id"] == job["id"]
    assert events[-1].kind == "status"
    assert events[-1].data["status"] == "succeeded"
    assert events[-1].data["job"]["status"] == "succeeded"
    kinds = {event.kind for event in events}
    assert {"snapshot", "status", "progress", "output"} <= kinds
    outputs = [event for event in events if event.kind == "output"]
    assert {event.data["level"] for event in outputs} == {"top", "middle", "bottom"}
    assert all(event.id for event in events)


async def test_progress_never_goes_back_and_carries_no_job(service: Service):
    job = await service.post()
    listening = asyncio.create_task(stream(service, job))
    await service.somebody_waits()
    claim = service.worker.claim(job["id"])
    for tokens in (100, 200, 300):
        service.worker.report(claim, "top", tokens, tokens / 1000)
    await service.client.post(job["urls"]["cancel"])
    service.store.cancel(claim)

    events = await asyncio.wait_for(listening, 60)

    progress = [event.data for event in events if event.kind == "progress"]
    assert [entry["value"] for entry in progress] == pytest.approx([0.1, 0.2, 0.3])
    assert all("job" not in entry for entry in progress)


async def test_many_watchers_of_a_job_cost_the_store_hardly_more_than_one(service: Service):
    async def commands_of(number: int) -> int:
        job = await service.post()
        listening = [asyncio.create_task(stream(service, job)) for _ in range(number)]
        await service.somebody_waits(number)
        before = service.store_commands()
        claim = service.worker.claim(job["id"])
        for tokens in range(1, 11):
            service.worker.report(claim, "top", tokens, tokens / 1000)
            await asyncio.sleep(0.02)
        service.store.fail(claim, JobError(code="x", message="y", retryable=False))
        streams = await asyncio.wait_for(asyncio.gather(*listening), 60)
        assert all(each[-1].data["job"]["status"] == "failed" for each in streams)
        assert len({each[-1].id for each in streams}) == 1
        return service.store_commands() - before

    await commands_of(1)
    alone, together = await commands_of(1), await commands_of(20)
    assert together < 2 * alone


async def test_the_stream_of_an_ended_job_is_a_snapshot(service: Service):
    job = await service.post()
    await service.client.post(job["urls"]["cancel"])
    events = await stream(service, job)
    assert [event.kind for event in events] == ["snapshot"]
    assert events[0].data["status"] == "canceled"


async def test_a_client_that_comes_back_hears_what_it_missed(service: Service):
    job = await service.post()
    first = (await service.watcher_events(job["id"]))[0]
    service.worker.sing(job["id"])

    events = await stream(service, job, after=first.id)

    assert events[0].kind == "snapshot"
    assert events[-1].data["status"] == "succeeded"
    ids = [event.id for event in events[1:]]
    assert first.id not in ids
    assert len(set(ids)) == len(ids)


async def test_a_client_that_has_heard_all_need_not_come_back(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    last = (await service.watcher_events(job["id"]))[-1]
    response = await service.client.get(job["urls"]["events"], headers={"last-event-id": last.id})
    assert response.status_code == 204


@pytest.mark.parametrize("event_id", ["nonsense", "9" * 30, "0-0", "9999999999999-0", "-1-1"])
async def test_an_event_id_that_never_was_does_no_harm(service: Service, event_id: str):
    job = await service.post()
    listening = asyncio.create_task(stream(service, job, after=event_id))
    await service.somebody_waits()
    await service.client.post(job["urls"]["cancel"])
    events = await asyncio.wait_for(listening, 60)
    assert events[0].kind == "snapshot"
    assert events[-1].data["status"] == "canceled"


async def test_an_unknown_job_has_no_events(service: Service):
    response = await service.client.get(f"/jobs/{new_job_id()}/events")
    assert_problem(response, 404, "job_not_found")


async def test_a_quiet_stream_shows_that_it_lives(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.routes.events._WAIT_SEC", 0.1)
    job = await service.post()
    async with open_stream(app_of(service), job["urls"]["events"]) as stream, asyncio.timeout(60):
        while b": ping" not in stream.body:
            await asyncio.sleep(0.01)
