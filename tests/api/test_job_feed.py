"""`GET /events`: what happens to all jobs of a caller, on one stream."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
from starlette.types import ASGIApp

from api.job_feed import MAX_PENDING
from jobs.api_keys import ApiKeyFile, Scope
from jobs.store.scripts import FEED_KEY, MAX_FEED_EVENTS
from tests.api.conftest import Service, assert_problem, song, waiting_at_the_store
from tests.api.sse import Event, open_stream

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


def app_of(service: Service) -> ASGIApp:
    transport: Any = service.client._transport
    return transport.app


def of_job(events: list[Event], job_id: str) -> list[str]:
    return [event.kind for event in events if event.data.get("job_id") == job_id]


async def test_a_stream_begins_with_reset_and_tells_of_jobs_from_creation_to_deletion(
    service: Service,
):
    async with open_stream(app_of(service), "/events") as stream:
        beginning = await stream.until("reset")
        assert beginning[0].data == {"reason": "connected"}
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        jobs = [await service.post(), await service.post()]
        for job in jobs:
            service.worker.report(service.worker.claim(job["id"]), "top", 100, 0.1)
            await service.client.post(job["urls"]["cancel"])
        await stream.until("progress", 2)
    kinds = {job["id"]: of_job(stream.events, job["id"]) for job in jobs}
    for each in kinds.values():
        assert each[:2] == ["created", "status"]
        assert each.count("progress") == 1
    created = next(event for event in stream.events if event.kind == "created")
    assert created.data["job"]["id"] == jobs[0]["id"]
    assert created.data["job"]["urls"]["self"] == jobs[0]["urls"]["self"]


async def test_a_whole_song_and_its_deletion_are_told(service: Service):
    async with open_stream(app_of(service), "/events") as stream:
        await stream.until("reset")
        job = await service.post()
        service.worker.sing(job["id"])
        assert (await service.client.delete(f"/jobs/{job['id']}")).status_code == 204
        await stream.until("deleted")
    kinds = of_job(stream.events, job["id"])
    assert kinds[0] == "created"
    assert kinds[-1] == "deleted"
    assert {"status", "stage", "progress", "output"} <= set(kinds)
    levels = {event.data["level"] for event in stream.events if event.kind == "output"}
    assert levels == {"top", "middle", "bottom"}
    ids = [event.id for event in stream.events]
    assert len(set(ids)) == len(ids)


async def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(service: Service):
    app = app_of(service)
    async with open_stream(app, "/events") as stream:
        await stream.until("reset")
        job = await service.post()
        events = await stream.until("created")
    last = events[-1].id
    service.worker.sing(job["id"])
    other = await service.post()
    async with open_stream(app, "/events", {"Last-Event-ID": last}) as again:
        await again.until("output", 3)
        late = await service.post()
        await again.until("created", 2)
    assert of_job(again.events, job["id"])[-1] == "status"
    assert "reset" not in {event.kind for event in again.events}
    assert "created" in of_job(again.events, other["id"])
    assert of_job(again.events, late["id"])[0] == "created"
    ids = [event.id for event in events + again.events]
    assert ids == sorted(set(ids), key=lambda each: tuple(map(int, each.split("-"))))
    with redis.Redis.from_url(service.redis_url, protocol=2, decode_responses=True) as client:
        told = [event_id for event_id, _ in client.xrange(FEED_KEY)]
    assert ids[1:] == told[: len(ids) - 1]


async def test_a_client_whose_past_is_not_kept_is_told_to_load_its_list(service: Service):
    app = app_of(service)
    async with open_stream(app, "/events") as stream:
        await stream.until("reset")
        await service.post()
        events = await stream.until("created")
    for _ in range(3):
        await service.post()
    with redis.Redis.from_url(service.redis_url, protocol=2) as client:
        client.xtrim(FEED_KEY, maxlen=2, approximate=False)
    async with open_stream(app, "/events", {"Last-Event-ID": events[-1].id or ""}) as again:
        await again.until("reset")
        job = await service.post()
        await again.until("created")
    assert again.events[0].data == {"reason": "past_not_kept"}
    assert {event.data["job_id"] for event in again.events[1:]} == {job["id"]}


@pytest.mark.parametrize("event_id", ["9999999999999-0", "0-1", "nonsense", "-1-1", "9" * 30])
async def test_an_event_id_that_never_was_begins_anew(service: Service, event_id: str):
    await service.post()
    async with open_stream(app_of(service), "/events", {"Last-Event-ID": event_id}) as stream:
        events = await stream.until("reset")
        await service.post()
        await stream.until("created")
    assert events[0].kind == "reset"


async def test_a_slow_client_takes_little_memory_and_misses_nothing(service: Service):
    number = MAX_PENDING + 50
    async with open_stream(app_of(service), "/events") as stream:
        await stream.until("reset")
        stream.pause()
        job = await service.post()
        claim = service.worker.claim(job["id"])
        for tokens in range(number):
            await asyncio.to_thread(service.worker.report, claim, "top", tokens, tokens / 1000)
        feed = app_of(service).state.services.feed
        (follower,) = feed._followers[None]
        while not follower.is_behind:
            await asyncio.sleep(0.01)
        assert len(follower.pending) <= MAX_PENDING
        stream.go_on()
        await stream.until("progress", number)
    done = [
        event.data["levels"]["top"]["tokens_done"]
        for event in stream.events
        if event.kind == "progress"
    ]
    assert done == list(range(number))


async def test_a_thousand_clients_cost_one_connection_and_one_view_of_each_event(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    app = app_of(service)
    views = []
    read = type(service.store).get
    monkeypatch.setattr(
        type(service.store), "get", lambda *args, **kwargs: views.append(1) or read(*args, **kwargs)
    )
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(open_stream(app, "/events")) for _ in range(1000)
        ]
        for stream in streams:
            await stream.until("reset")
        async with asyncio.timeout(60.0):
            while waiting_at_the_store(service.redis_url) != 1:
                await asyncio.sleep(0.01)
        views.clear()
        job = await service.post()
        for stream in streams:
            events = await stream.until("status")
            assert of_job(events, job["id"]) == ["created", "status"]
        assert len(views) <= 3  # for either event, and for the answer to the POST
        assert app.state.services.feed.num_followers == 1000
    assert app.state.services.feed.num_followers == 0


async def test_streams_end_when_the_store_is_lost_and_go_on_without_loss(service: Service):
    app = app_of(service)
    async with open_stream(app, "/events") as stream:
        await stream.until("reset")
        job = await service.post()
        events = await stream.until("created")
        with redis.Redis.from_url(service.redis_url, protocol=2) as client:
            for each in client.client_list():
                if "b" in each["flags"]:
                    client.client_kill_filter(_id=each["id"])
        await asyncio.wait_for(stream.is_over.wait(), 60.0)
        events = list(stream.events)
    await service.client.post(job["urls"]["cancel"])
    async with open_stream(app, "/events", {"Last-Event-ID": events[-1].id or ""}) as again:
        while not any(event.data.get("status") == "canceled" for event in again.events):
            await again.until("status", sum(e.kind == "status" for e in again.events) + 1)
    assert again.events[0].kind == "status"


async def test_streams_end_when_the_service_stops(service: Service):
    app = app_of(service)
    async with open_stream(app, "/events") as stream:
        await stream.until("reset")
        app.state.services.stopping.set()
        await asyncio.wait_for(stream.is_over.wait(), 60.0)


async def test_every_key_hears_of_its_own_jobs_and_an_administrator_of_all(service: Service):
    keys, app = ApiKeyFile(service.data_dir), app_of(service)
    headers = {}
    for name, scopes in (
        ("alice", (Scope.SUBMIT, Scope.READ)),
        ("bob", (Scope.SUBMIT, Scope.READ)),
        ("root", (Scope.ADMIN,)),
    ):
        headers[name] = {"Authorization": f"Bearer {keys.create(name, scopes)[1]}"}
    assert_problem(await service.client.get("/events"), 401, "api_key_missing")
    opened = await service.client.post("/session", headers=headers["alice"])
    cookie = {"Cookie": opened.headers["set-cookie"].partition(";")[0]}
    async with AsyncExitStack() as stack:
        streams = {
            name: await stack.enter_async_context(open_stream(app, "/events", each))
            for name, each in [
                *headers.items(),
                ("page", cookie | {"Sec-Fetch-Site": "same-origin"}),
            ]
        }
        for stream in streams.values():
            await stream.until("reset")
        ids = {}
        for name in ("bob", "alice"):
            response = await service.client.post("/jobs", json=song(), headers=headers[name])
            ids[name] = response.json()["id"]
        for name, number in (("alice", 1), ("bob", 1), ("root", 2), ("page", 1)):
            await streams[name].until("created", number)
    seen = {
        name: {event.data["job_id"] for event in stream.events[1:]}
        for name, stream in streams.items()
    }
    assert seen["alice"] == seen["page"] == {ids["alice"]}
    assert seen["bob"] == {ids["bob"]}
    assert seen["root"] == set(ids.values())
    signed = streams["alice"].events[1].data["job"]["urls"]["signed"]["audio"]
    assert (await service.client.get(signed)).status_code == 404  # no sound yet, and no 401
    others = streams["root"].events[1].data["job"]["urls"]["signed"]["audio"]
    assert others != streams["bob"].events[1].data["job"]["urls"]["signed"]["audio"]


async def test_the_feed_keeps_a_bounded_past(service: Service):
    job = await service.post()
    with redis.Redis.from_url(service.redis_url, protocol=2) as client:
        with client.pipeline() as pipeline:
            for _ in range(MAX_FEED_EVENTS + 500):
                pipeline.xadd(
                    FEED_KEY, {"job_id": job["id"], "owner": "", "kind": "changed", "data": "{}"}
                )
            pipeline.execute()
        await service.post()
        assert client.xlen(FEED_KEY) < MAX_FEED_EVENTS + 500


async def test_head_of_the_stream_ends_at_once(service: Service):
    response = await service.client.head("/events")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
