"""An operator sees the service as it is, and not more than that."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.api_keys import ApiKeyFile, Scope
from jobs.record.job import FailureCode, Stage
from jobs.store import WorkerInfo
from tests.api.conftest import Service, serving
from tests.fixtures.servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def figures(service: Service, **headers: str) -> dict[tuple[str, ...], float]:
    """Every figure, by its name and the values of its labels."""
    response = await service.client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_jobs_are_told_by_state_and_stage(service: Service):
    before = await figures(service)
    assert before["jukebox_store_up",] == 1
    assert before["jukebox_jobs", "queued"] == 0
    assert before["jukebox_oldest_queued_seconds",] == 0
    await service.post()
    await service.post()
    after = await figures(service)
    assert after["jukebox_jobs", "queued"] == 2
    assert after["jukebox_queue_messages", "top"] == 2
    assert after["jukebox_queue_messages", "render"] == 0
    assert 0 < after["jukebox_oldest_queued_seconds",] < 60
    assert 0 < after["jukebox_disk_free_bytes",] <= after["jukebox_disk_bytes",]
    assert after["process_resident_memory_bytes",] > 0


async def test_workers_are_told_until_they_are_silent(service: Service):
    worker = WorkerInfo(
        name="w1", device="cpu", models=(), stages=(Stage.TOP,), seen_at=datetime.now(UTC)
    )
    service.store.announce_worker(worker, ttl_sec=300)
    told = await figures(service)
    assert told["jukebox_workers", "top"] == 1
    assert told["jukebox_workers", "render"] == 0
    assert 0 <= told["jukebox_worker_heartbeat_age_seconds", "w1"] < 60


async def test_requests_are_counted_by_route_and_never_by_path(service: Service):
    job = await service.post()
    for path in (job["urls"]["self"], "/jobs/job_none", "/nowhere/at/all", "/nowhere/else"):
        await service.client.get(path)
    told = await figures(service)
    name = "jukebox_http_requests_total"
    assert told[name, "POST", "/jobs", "202"] == 1
    assert told[name, "GET", "/jobs/{job_id}", "200"] == 1
    assert told[name, "GET", "/jobs/{job_id}", "404"] == 1
    assert told[name, "GET", "none", "404"] == 2
    assert told["jukebox_http_response_seconds_count", "GET", "/jobs/{job_id}"] == 2
    assert told["jukebox_http_open_responses", "/jobs/{job_id}"] == 0
    routes = {key[2] for key in told if key[0] == name}
    assert not any(job["id"] in route or "nowhere" in route for route in routes)


async def test_server_errors_and_failures_are_at_0_before_the_first(service: Service):
    told = await figures(service)
    paths = (await service.client.get("/openapi.json")).json()["paths"]
    routes = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert ("POST", "/jobs") in routes
    # What is refused before a route is chosen has none.
    for method, route in routes | {("GET", "none"), ("POST", "none"), ("other", "none")}:
        for status in ("500", "503", "507"):
            assert told["jukebox_http_requests_total", method, route, status] == 0
    for code in FailureCode:
        assert told["jukebox_jobs_total", code.value, "failed"] == 0


async def test_a_job_that_the_sweeper_ends_is_counted(clock, clean_redis_url, models_dir, tmp_path):
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        job = await service.post(timeout_seconds=300)
        clock.pass_time(301)
        failed = (await service.client.get(f"/jobs/{job['id']}?wait=10")).json()
        assert failed["error"]["code"] == "deadline_exceeded"
        told = await figures(service)
        assert told["jukebox_jobs_total", "deadline_exceeded", "failed"] == 1
        assert told["jukebox_jobs_total", "internal_error", "failed"] == 0


async def test_made_up_methods_are_one_figure(service: Service):
    for method in ("BREW", "STEEP"):
        await service.client.request(method, "/jobs")
    told = await figures(service)
    counted = {
        key: value
        for key, value in told.items()
        if key[:2] == ("jukebox_http_requests_total", "other") and value
    }
    assert list(counted.values()) == [2], counted


async def test_figures_need_a_key_where_the_rest_does(service: Service):
    secret = ApiKeyFile(service.data_dir).create("prometheus", [Scope.READ])[1]
    assert (await service.client.get("/metrics")).status_code == 401
    assert await figures(service, authorization=f"Bearer {secret}")


async def test_the_page_comes_while_the_store_is_away(
    redis_server: RedisServer, models_dir: Path, tmp_path: Path
):
    async with serving(redis_server.url, models_dir, tmp_path) as service:
        redis_server.stop()
        told = await figures(service)
        assert told["jukebox_store_up",] == 0
        assert not any(key[0] == "jukebox_jobs" for key in told)
        assert ("jukebox_disk_free_bytes",) in told
