"""What a request costs is bounded before it is looked into, and every request counts."""

import json
import time

import pytest

from api.web.request_cost import MAX_QUERY_PARAMETERS, MAX_VALUES
from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving, song

pytestmark = [pytest.mark.redis, pytest.mark.anyio]

MANY = 11_000
LOOP_SEC = 0.05
"""No single request may take the event loop for longer."""

HOSTILE_BODIES = {
    "levels": song(levels=["top"] * MANY),
    "webhook_events": song(webhook_events=["x"] * MANY),
    "genre_ids": song(genre_ids=list(range(MANY))),
    "artist_id by version": song(artist_id={f"v{n}": n for n in range(MANY)}),
    "genre_ids by version": song(genre_ids={f"v{n}": [n] for n in range(MANY)}),
    "unknown fields": {f"field{n}": n for n in range(12_000)},
    "sampling": song(sampling={f"level{n}": {"temperature": n} for n in range(6_000)}),
    "a list": [None] * MANY,
    "nested lists": song(levels=[[[[["x"] * 2000] * 10]]]),
}
HOSTILE_BYTES = {
    "depth": b"[" * 100_000,
    "depth of objects": b'{"a":' * 40_000,
    "one key many times": b"{" + b'"model":"tiny",' * 16_000 + b'"model":"tiny"}',
    "a number of 200,000 digits": b'{"seed":' + b"9" * 200_000 + b"}",
    "a long string": json.dumps(song(artist="x" * 200_000)).encode(),
    "a string of escapes": b'{"lyrics":"' + b"\\u00e9" * 40_000 + b'"}',
    "commas that are no JSON": b"," * 250_000,
}


async def seconds_of_cpu(service: Service, body: bytes) -> float:
    """Of the whole request, client included: the loop does both here."""
    start = time.thread_time()
    response = await service.client.post(
        "/jobs", content=body, headers={"Content-Type": "application/json"}
    )
    took = time.thread_time() - start
    assert response.status_code in (400, 422), response.text
    assert len(response.content) < 10_000
    return took


@pytest.mark.parametrize("name", [*HOSTILE_BODIES, *HOSTILE_BYTES])
async def test_no_body_keeps_the_loop_from_others(service: Service, name: str):
    body = HOSTILE_BYTES.get(name) or json.dumps(HOSTILE_BODIES[name]).encode()
    await seconds_of_cpu(service, b"{}")
    # A busy core makes a few milliseconds ten times as many, but not of one request after another.
    for _ in range(50):
        if await seconds_of_cpu(service, body) < LOOP_SEC:
            return
    pytest.fail(f"no answer took less than {LOOP_SEC} s of the event loop")


async def test_the_first_value_too_many_is_refused_and_the_last_one_allowed_is_read(
    service: Service,
):
    def body(num_values: int) -> list[int]:
        return [0] * (num_values - 1)

    response = await service.client.post("/jobs", json=body(MAX_VALUES + 1))
    assert "values" in assert_problem(response, 422, "invalid_request")["detail"]
    response = await service.client.post("/jobs", json=body(MAX_VALUES - 1))
    assert "values" not in assert_problem(response, 422, "invalid_request")["detail"]


async def test_lyrics_may_have_as_many_commas_as_they_like(service: Service):
    job = await service.post(lyrics="la, " * 4_000)
    assert job["status"] == "queued"


@pytest.mark.parametrize("path", ["/jobs", "/models", "/healthz", "/metrics", "/jobs/x/events"])
async def test_a_query_of_thousands_of_parameters_is_refused(service: Service, path: str):
    query = "&".join(f"a{n}=1" for n in range(MAX_QUERY_PARAMETERS + 1))
    response = await service.client.get(f"{path}?{query}")
    assert_problem(response, 422, "invalid_request")
    response = await service.client.get(f"{path}?a={'x' * 10_000}")
    assert_problem(response, 414, "uri_too_long")


async def test_a_request_with_two_lengths_is_refused_and_the_connection_closed(service: Service):
    response = await service.client.post(
        "/jobs",
        content=b"0\r\n\r\n",
        headers={"Content-Length": "5", "Transfer-Encoding": "chunked"},
    )
    assert_problem(response, 400, "ambiguous_length")
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/metrics", None),
        ("GET", "/nothing/here", None),
        ("POST", "/jobs", b"{"),
        ("POST", "/assets", b"no form"),
        ("DELETE", "/jobs", None),
        ("GET", "/jobs?limit=nonsense", None),
    ],
)
async def test_every_request_of_a_key_counts(
    clean_redis_url, models_dir, tmp_path, method, path, content
):
    secret = ApiKeyFile(tmp_path).create("alice", [Scope.READ, Scope.SUBMIT])[1]
    headers = {"Authorization": f"Bearer {secret}"}
    async with serving(clean_redis_url, models_dir, tmp_path, max_requests_per_minute=2) as service:
        for _ in range(2):
            response = await service.client.request(method, path, content=content, headers=headers)
            assert response.status_code != 429
        response = await service.client.request(method, path, content=content, headers=headers)
        assert_problem(response, 429, "rate_limited")
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_post_that_is_no_json_counts_as_a_post(clean_redis_url, models_dir, tmp_path):
    secret = ApiKeyFile(tmp_path).create("alice", [Scope.READ, Scope.SUBMIT])[1]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    async with serving(clean_redis_url, models_dir, tmp_path, max_posts_per_minute=1) as service:
        first = await service.client.post("/jobs", content=b"{", headers=headers)
        assert_problem(first, 400, "malformed_json")
        second = await service.client.post("/jobs", json=song(), headers=headers)
        assert_problem(second, 429, "rate_limited")
