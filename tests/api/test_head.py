"""HEAD is GET without a body, on every path and for every error."""

import re
from typing import Any

import pytest

from jobs.record.job import new_job_id
from tests.api.conftest import Service, song
from tests.fixtures.ids import NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

NONCE = re.compile(r"nonce-[\w-]+")
UNLIKE = {"content-length"}
"""Figures and times of another moment may be longer."""


def without_nonce(value: str) -> str:
    """A policy without what is another one in every answer."""
    return NONCE.sub("nonce", value)


async def messages_of(service: Service, method: str, path: str) -> list[dict[str, Any]]:
    """What the application sends itself, before any server drops the body of a HEAD."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    sent: list[dict[str, Any]] = []
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return requests.pop() if requests else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await service.client._transport.app(scope, receive, send)
    return sent


async def test_head_has_the_status_and_the_headers_of_get(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    document = (await service.client.get("/openapi.json")).json()
    paths = [path for path, methods in document["paths"].items() if "get" in methods]
    paths.remove("/events")  # the one that never ends
    paths += ["/", "/docs", "/openapi.json", "/nothing", "/jobs/", "/jobs?limit=0"]
    paths += [
        f"/jobs/{NOBODYS_JOB}",
        f"/jobs/{NOBODYS_JOB}/codes",
        "/jobs/1",
        "/jobs?status=queued",
    ]
    paths += ["/jobs/{job_id}/alignment?sample=5", "/jobs/{job_id}/cancel"]
    for path in paths:
        path = path.format(job_id=job["id"], asset_id="asset_" + "0" * 32, name="tiny")
        get = await service.client.get(path)
        head = await service.client.head(path)
        assert head.status_code == get.status_code, path
        assert head.content == b""
        assert head.headers.keys() == get.headers.keys(), path
        for name in head.headers.keys() - UNLIKE:
            values = without_nonce(head.headers[name]), without_nonce(get.headers[name])
            assert values[0] == values[1], f"{name} of {path}"
        if "metrics" not in path:
            assert head.headers.get("content-length") == get.headers.get("content-length"), path


@pytest.mark.parametrize("path", ["/jobs", "/healthz", "/metrics", "/models/tiny/genres"])
async def test_the_body_of_a_head_is_left_out_by_the_application(service: Service, path: str):
    start, body = await messages_of(service, "HEAD", path)
    assert start["status"] == 200
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/jobs/{id}/events", "text/event-stream"),
        ("/events", "text/event-stream"),
        ("/jobs/{id}/live", "audio/wav"),
    ],
)
async def test_the_head_of_a_stream_ends_at_once(service: Service, path: str, media_type: str):
    job = await service.post()
    response = await service.client.head(path.format(id=job["id"]), timeout=20)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(media_type)
    assert response.content == b""


async def test_a_head_counts_as_itself_in_the_figures(service: Service):
    await service.client.head(f"/jobs/{new_job_id()}")
    figures = (await service.client.get("/metrics")).text
    labels = 'method="HEAD",route="/jobs/{job_id}",status="404"'
    assert f"jukebox_http_requests_total{{{labels}}} 1.0" in figures


async def test_head_changes_nothing(service: Service):
    before = service.left_behind()
    assert (await service.client.head("/jobs")).status_code == 200
    response = await service.client.request("HEAD", "/jobs", json=song())
    assert response.status_code == 200
    assert service.left_behind() == before
