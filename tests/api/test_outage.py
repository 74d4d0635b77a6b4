"""The store goes away: a 503 soon, nothing half-done, and all is well when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.errors import QueueUnavailable, StoreUnavailable
from jobs.record.job import Stage, new_job_id
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.scripted_worker import files_below

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

MAX_SEC = 50.0
"""On a busy machine; a wait of a minute is asked for, and a hung store never answers."""


@pytest.fixture
async def lonely(redis_server, models_dir: Path, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(redis_server.url, models_dir, tmp_path / "data") as service:
        yield service


REQUESTS = [
    ("POST", "/jobs"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{id}"),
    ("GET", "/jobs/{id}?wait=60"),
    ("DELETE", "/jobs/{id}"),
    ("PATCH", "/jobs/{id}"),
    ("POST", "/jobs/{id}/restore"),
    ("GET", "/jobs?q=rain&sort=title&trashed=true"),
    ("POST", "/jobs/{id}/cancel"),
    ("POST", "/jobs/{id}/retry"),
    ("GET", "/jobs/{id}/events"),
    ("GET", "/jobs/{id}/audio"),
    ("HEAD", "/jobs/{id}/audio"),
    ("GET", "/jobs/{id}/codes"),
    ("GET", "/readyz"),
    ("GET", "/system"),
]


async def check_fails_soon(service: Service, method: str, path: str) -> None:
    started = time.monotonic()
    response = await service.client.request(
        method,
        path.format(id=new_job_id()),
        json=song() if (method, path) == ("POST", "/jobs") else None,
    )
    assert time.monotonic() - started < MAX_SEC, f"{method} {path}"
    assert int(response.headers["retry-after"]) > 0
    if method == "HEAD":
        assert response.status_code == 503
    else:
        assert_problem(response, 503, "store_unavailable")


async def check_every_request_fails_soon(service: Service) -> None:
    await asyncio.gather(*(check_fails_soon(service, *request) for request in REQUESTS))
    assert (await service.client.get("/healthz")).status_code == 200
    assert (await service.client.get("/models")).status_code == 200
    assert files_below(service.data_dir / "artifacts") == []


async def test_a_dead_store_is_a_503_and_comes_back(lonely: Service, redis_server):
    await lonely.post()
    redis_server.kill()
    await check_every_request_fails_soon(lonely)
    redis_server.start()
    assert (await lonely.client.get("/readyz")).status_code == 200
    assert len((await lonely.client.get("/jobs")).json()["data"]) == 1
    await lonely.post()


async def test_a_frozen_store_is_a_503_too(lonely: Service, redis_server):
    await lonely.post()
    redis_server.freeze()
    try:
        await check_every_request_fails_soon(lonely)
    finally:
        redis_server.thaw()


async def test_a_job_that_was_refused_while_the_store_hung_is_not_drawn_later(
    lonely: Service, redis_server
):
    accepted = await lonely.post()
    redis_server.freeze()
    try:
        response = await lonely.client.post("/jobs", json=song())
        assert_problem(response, 503, "store_unavailable")
    finally:
        redis_server.thaw()

    # The hung server may have kept the command, and writes the record when it wakes.
    await asyncio.sleep(3.0)
    async with asyncio.timeout(60.0):
        while await ids_of_jobs(lonely) != [accepted["id"]]:
            await asyncio.sleep(0.2)


async def ids_of_jobs(service: Service) -> list[str]:
    return [job["id"] for job in (await service.client.get("/jobs")).json()["data"]]


async def test_a_job_whose_message_was_lost_is_accepted_all_the_same(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(job_id: str, stage: Stage) -> None:
        raise QueueUnavailable("the queue is away")

    monkeypatch.setattr(service.queue, "publish", refuse)
    job = await service.post()
    assert service.store.get(job["id"]).status == "queued"
    assert "the queue is away" in caplog.text
    assert "hello" not in caplog.text


async def test_a_job_is_accepted_even_if_the_store_goes_right_after_the_write(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    def refuse(job_id: str) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(service.store, "queue_position", refuse)
    assert (await service.post())["status"] == "queued"


async def test_what_nobody_foresaw_is_a_500_without_a_traceback(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    def explode(job_id: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service.store, "check_access", explode)
    response = await service.client.get(f"/jobs/{new_job_id()}")
    assert_problem(response, 500, "internal_error")
    assert "secret" not in response.text
