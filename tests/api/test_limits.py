"""Too much at once is a 429 with its own code and a time to come back."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.scripted_worker import files_below
from tests.api.sounds import encoded, tone
from tests.fixtures.servers import ServerClock

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

Limited = Callable[..., Any]


@pytest.fixture
async def limited(
    clean_redis_url: str, clock: ServerClock, models_dir: Path, tmp_path: Path
) -> AsyncIterator[Limited]:
    """A service with limits, and two callers with a key each; no minute passes by itself."""
    clock.stop()
    async with AsyncExitStack() as stack:

        async def start(**settings: int) -> tuple[Service, dict[str, str], dict[str, str]]:
            service = await stack.enter_async_context(
                serving(clean_redis_url, models_dir, tmp_path, **settings)
            )
            keys = ApiKeyFile(tmp_path)
            tokens = [keys.create(name, [Scope.SUBMIT, Scope.READ])[1] for name in ("a", "b")]
            alice, bob = ({"Authorization": f"Bearer {token}"} for token in tokens)
            return service, alice, bob

        yield start


def refused(response: httpx.Response, code: str) -> None:
    assert_problem(response, 429, code)
    assert 1 <= int(response.headers["retry-after"]) <= 60


async def test_a_key_may_have_so_many_jobs_waiting(limited: Limited):
    service, alice, bob = await limited(max_queued_per_key=2)
    jobs = [await service.client.post("/jobs", json=song(), headers=alice) for _ in range(2)]
    refused(await service.client.post("/jobs", json=song(), headers=alice), "too_many_queued")
    assert (await service.client.post("/jobs", json=song(), headers=bob)).status_code == 202
    await service.client.post(jobs[0].json()["urls"]["cancel"], headers=alice)
    assert (await service.client.post("/jobs", json=song(), headers=alice)).status_code == 202


async def test_a_key_may_have_so_many_jobs_running(limited: Limited):
    service, alice, bob = await limited(max_running_per_key=1)
    job = (await service.client.post("/jobs", json=song(), headers=alice)).json()
    service.worker.claim(job["id"])
    refused(await service.client.post("/jobs", json=song(), headers=alice), "too_many_running")
    assert (await service.client.post("/jobs", json=song(), headers=bob)).status_code == 202


async def test_a_full_queue_takes_no_more_and_nothing_is_left_of_the_refused(limited: Limited):
    service, alice, bob = await limited(max_queued=1)
    files = {"file": ("a.wav", encoded(tone()))}
    asset = (await service.client.post("/assets", files=files, headers=bob)).json()
    await service.client.post("/jobs", json=song(), headers=alice)
    body = song(mode="primed", prompt={"asset_id": asset["id"]})
    refused(await service.client.post("/jobs", json=body, headers=bob), "queue_full")
    assert files_below(service.data_dir / "artifacts") == []


async def test_the_full_queue_holds_without_keys_too(
    clean_redis_url: str, models_dir: Path, tmp_path: Path
):
    limits = {"max_queued": 1, "max_queued_per_key": 1, "max_posts_per_minute": 1}
    async with serving(clean_redis_url, models_dir, tmp_path, **limits) as service:
        await service.post()
        refused(await service.client.post("/jobs", json=song()), "queue_full")


async def test_a_key_may_post_so_often_whatever_comes_of_it(limited: Limited):
    service, alice, bob = await limited(max_posts_per_minute=3)
    files = {"file": ("a.wav", encoded(tone()))}
    assert (await service.client.post("/jobs", json=song(), headers=alice)).status_code == 202
    assert (await service.client.post("/jobs", json={}, headers=alice)).status_code == 422
    assert (await service.client.post("/assets", files=files, headers=alice)).status_code == 201
    for path, body in (("/jobs", {"json": song()}), ("/assets", {"files": files})):
        refused(await service.client.post(path, headers=alice, **body), "rate_limited")
    assert (await service.client.get("/jobs", headers=alice)).status_code == 200
    assert (await service.client.post("/jobs", json=song(), headers=bob)).status_code == 202


async def test_a_key_may_store_so_many_bytes_and_again_when_some_are_deleted(limited: Limited):
    service, alice, bob = await limited(max_stored_bytes_per_key=100_000)
    files = {"file": ("a.wav", encoded(tone(1.0)))}
    first = await service.client.post("/assets", files=files, headers=alice)
    assert 0 < first.json()["stored_bytes"] < 100_000
    while (response := await service.client.post("/assets", files=files, headers=alice)).is_success:
        pass
    assert_problem(response, 507, "storage_quota_reached")
    stored = sum(path.stat().st_size for path in (service.data_dir / "assets").rglob("*.*"))
    assert stored <= 100_000
    assert (await service.client.post("/assets", files=files, headers=bob)).status_code == 201
    assert (await service.client.post("/jobs", json=song(), headers=bob)).status_code == 202


async def test_a_key_that_stores_too_much_starts_no_song(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
):
    service, alice, bob = await limited(max_stored_bytes_per_key=1000)
    job = (await service.client.post("/jobs", json=song(levels=["top"]), headers=alice)).json()
    service.worker.sing(job["id"])
    monkeypatch.setattr("jobs.files.stored_bytes._FRESH_SEC", 0.0)
    monkeypatch.setattr("jobs.files.stored_bytes._COUNTS_PER_SEC", 1e9)
    monkeypatch.setattr("jobs.files.stored_bytes._COUNTING_SHARE", 1e9)
    refused_job = await service.client.post("/jobs", json=song(), headers=alice)
    assert_problem(refused_job, 507, "storage_quota_reached")
    assert (await service.client.post("/jobs", json=song(), headers=bob)).status_code == 202
    left = [
        path for path in files_below(service.data_dir / "artifacts") if job["id"] not in str(path)
    ]
    assert left == []


async def test_a_disk_that_is_nearly_full_takes_no_upload_and_no_job(limited: Limited):
    service, alice, _ = await limited(min_free_bytes=2**60)
    files = {"file": ("a.wav", encoded(tone()))}
    for response in (
        await service.client.post("/assets", files=files, headers=alice),
        await service.client.post("/jobs", json=song(), headers=alice),
    ):
        assert_problem(response, 507, "storage_failed")
        assert "retry-after" in response.headers
    assert files_below(service.data_dir / "assets") == []
    assert (await service.client.get("/jobs", headers=alice)).json()["data"] == []
