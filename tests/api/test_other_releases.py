"""Jobs of another release over HTTP: read as far as they can be, and never a 5xx."""

import json

import pytest
import redis

from jobs.store.scripts import record_key
from tests.api.conftest import Service, assert_problem, song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def server(clean_redis_url):
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def edit_request(server, job, **changes):
    key = record_key(job["id"])
    server.hset(key, "request", json.dumps(json.loads(server.hget(key, "request")) | changes))


async def test_a_job_that_asks_for_more_is_shown_and_can_be_canceled(service: Service, server):
    job = await service.post()
    edit_request(server, job, loudness=-14)
    assert (await service.client.get(f"/jobs/{job['id']}")).json() == job
    assert (await service.client.get("/jobs")).json()["data"] == [job]
    canceled = await service.client.post(f"/jobs/{job['id']}/cancel")
    assert canceled.json()["status"] == "canceled"


CALLS = [
    ("GET", "/jobs/{id}"),
    ("GET", "/jobs/{id}?wait=1"),
    ("GET", "/jobs/{id}/events"),
    ("GET", "/jobs/{id}/audio"),
    ("GET", "/jobs/{id}/codes"),
    ("GET", "/jobs/{id}/alignment"),
    ("GET", "/jobs/{id}/lyrics"),
    ("GET", "/jobs/{id}/children"),
    ("POST", "/jobs/{id}/pin"),
    ("POST", "/jobs/{id}/cancel"),
    ("POST", "/jobs/{id}/retry"),
    ("POST", "/jobs/{id}/restore"),
]


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[f"{m} {p}" for m, p in CALLS])
async def test_a_job_that_cannot_be_read_is_told_clearly(service: Service, server, method, path):
    job, other = await service.post(), await service.post()
    edit_request(server, job, mode="remix")
    response = await service.client.request(method, path.format(id=job["id"]))
    assert 400 <= response.status_code < 500, response.text
    if method == "GET":
        assert_problem(response, 409, "job_unreadable")
    listed = (await service.client.get("/jobs")).json()["data"]
    assert [each["id"] for each in listed] == [other["id"]]


async def test_nothing_goes_on_from_a_job_that_cannot_be_read(service: Service, server):
    job = await service.post()
    edit_request(server, job, mode="remix")
    body = {"mode": "continue", "parent_id": job["id"], "duration_seconds": 1.0}
    assert_problem(await service.client.post("/jobs", json=body), 409, "job_unreadable")


async def test_a_key_that_stands_for_such_a_job_is_told_clearly(service: Service, server):
    headers = {"Idempotency-Key": "one"}
    job = (await service.client.post("/jobs", json=song(), headers=headers)).json()
    edit_request(server, job, mode="remix")
    again = await service.client.post("/jobs", json=song(), headers=headers)
    assert_problem(again, 409, "job_unreadable")


async def test_a_job_that_cannot_be_read_can_be_deleted(service: Service, server):
    job = await service.post()
    edit_request(server, job, mode="remix")
    await service.client.post(f"/jobs/{job['id']}/cancel")
    assert (await service.client.delete(f"/jobs/{job['id']}")).status_code == 204
