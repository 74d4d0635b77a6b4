"""Behind a proxy under a prefix: every URL in an answer leads through the proxy."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from api.access.origins import origin_of_url
from api.settings import ApiSettings
from api.web.proxy import prefix_of_url
from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.sounds import encoded, tone
from tests.fixtures.ids import NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

URL = "https://songs.example/jukebox"
HEADER = {"X-Forwarded-Prefix": "/jukebox"}


@pytest.fixture(params=["set", "forwarded", "set, whole", "forwarded, whole"])
async def behind(request, clean_redis_url, models_dir, tmp_path) -> Any:
    """The service behind a proxy, which finds every path of it under /jukebox."""
    settings = {} if "forwarded" in request.param else {"public_url": URL}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        if "forwarded" in request.param:
            service.client.headers.update(HEADER)
        yield Behind(service, "/jukebox" if "whole" in request.param else "")


class Behind:
    """What the proxy does with paths: it cuts the prefix off, or leaves it."""

    def __init__(self, service: Service, passed_on: str) -> None:
        self.service, self._passed_on = service, passed_on

    async def request(self, method: str, path: str, **kwargs: Any) -> Any:
        assert path.startswith("/jukebox"), f"{path} does not lead to the proxy"
        path = self._passed_on + path.removeprefix("/jukebox")
        return await self.service.client.request(method, path or "/", **kwargs)


def paths_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (path for value in node.values() for path in paths_in(value))
    elif isinstance(node, list):
        yield from (path for value in node for path in paths_in(value))
    elif isinstance(node, str) and node.startswith("/"):
        yield node


async def test_every_url_of_a_job_leads_through_the_proxy(behind: Behind):
    response = await behind.request("POST", "/jukebox/jobs", json=song())
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == job["urls"]["self"] == f"/jukebox/jobs/{job['id']}"
    behind.service.worker.sing(job["id"])
    job = (await behind.request("GET", job["urls"]["self"])).json()
    paths = list(paths_in(job))
    assert len(paths) > 9
    assert all(path.startswith("/jukebox/jobs/") for path in paths)
    for output in job["outputs"]:
        assert (await behind.request("HEAD", output["url"])).status_code == 200
    for name in ("self", "audio", "codes", "children", "events"):
        assert (await behind.request("GET", job["urls"][name])).status_code == 200, name
    listed = (await behind.request("GET", "/jukebox/jobs")).json()
    assert all(path.startswith("/jukebox/") for path in paths_in(listed))
    stream = await behind.request("GET", job["urls"]["events"])
    snapshot = json.loads(re.search(r"^data: (.*)$", stream.text, re.MULTILINE)[1])
    assert snapshot["urls"] == job["urls"]


async def test_an_asset_is_found_through_the_proxy(behind: Behind):
    files = {"file": ("a.wav", encoded(tone(3.0)))}
    response = await behind.request("POST", "/jukebox/assets", files=files)
    assert response.headers["location"] == response.json()["urls"]["self"]
    assert (await behind.request("GET", response.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [("/jukebox/jobs/?limit=1", "/jukebox/jobs?limit=1"), ("/jukebox/models/", "/jukebox/models")],
)
async def test_redirects_lead_through_the_proxy(behind: Behind, path: str, location: str):
    response = await behind.request("GET", path)
    assert (response.status_code, response.headers["location"]) == (307, location)


async def test_the_page_and_its_document_are_found_through_the_proxy(behind: Behind):
    page = await behind.request("GET", "/jukebox/")
    (script,) = re.findall(r'<script type="module" src="([^"]+)"', page.text)
    assert (await behind.request("GET", script)).status_code == 200
    assert (await behind.request("GET", "/jukebox/docs")).status_code == 200
    document = (await behind.request("GET", "/jukebox/openapi.json")).json()
    assert document["servers"] == [{"url": "/jukebox"}]


async def test_a_problem_names_the_path_that_was_asked_for(behind: Behind):
    response = await behind.request("GET", f"/jukebox/jobs/{NOBODYS_JOB}")
    assert assert_problem(response, 404, "job_not_found")["instance"] == (
        f"/jukebox/jobs/{NOBODYS_JOB}"
    )


async def test_keys_are_needed_for_the_same_paths_behind_a_proxy(behind: Behind):
    ApiKeyFile(behind.service.data_dir).create("me", [Scope.READ])
    for path in ("/jukebox/docs", "/jukebox/docs/start.js", "/jukebox/healthz"):
        assert (await behind.request("GET", path)).status_code == 200
    response = await behind.request("GET", "/jukebox/jobs")
    assert_problem(response, 401, "api_key_missing")


async def test_a_prefix_that_is_a_name_of_the_service_works_too(
    clean_redis_url, models_dir, tmp_path
):
    settings = {"public_url": "https://songs.example/jobs"}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        job = await service.post()
        assert job["urls"]["self"] == f"/jobs/jobs/{job['id']}"
        for path in (f"/jobs/{job['id']}", f"/jobs/jobs/{job['id']}"):
            assert (await service.client.get(path)).json()["id"] == job["id"]


async def test_only_a_trusted_proxy_may_name_a_prefix(
    clean_redis_url, models_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        _, token = ApiKeyFile(tmp_path).create("me", [Scope.READ, Scope.SUBMIT])
        headers = HEADER | {"Authorization": f"Bearer {token}"}
        for address, root in (("10.1.2.3", "/jukebox"), ("192.0.2.1", "")):
            service.client._transport.client = (address, 1)  # type: ignore[attr-defined]
            response = await service.client.post("/jobs", json=song(), headers=headers)
            assert response.headers["location"].startswith(f"{root}/jobs/job_"), address


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("/jukebox", "/jukebox"),
        ("/jukebox/", "/jukebox"),
        ("/a,/b", "/a/b"),
        ("/", ""),
        ("", ""),
        ("jukebox", ""),
        ("//evil.example", ""),
        ("/a/../b", ""),
        ("https://evil.example", ""),
        ("/<script>", ""),
        ("/" + "x" * 500, ""),
    ],
)
async def test_a_forwarded_prefix_that_is_none_is_ignored(service: Service, value: str, root: str):
    headers = {"X-Forwarded-Prefix": value}
    response = await service.client.post("/jobs", json=song(), headers=headers)
    assert response.headers["location"].startswith(f"{root}/jobs/job_")


@pytest.mark.parametrize(
    "url", ["https://a/juke box", "https://a/%6a", "https://a//b", "ftp://a/b"]
)
def test_a_public_url_of_no_use_is_refused_at_the_start(url: str):
    with pytest.raises(ValidationError):
        ApiSettings(redis_url="redis://localhost", public_url=url)


def test_the_prefix_is_the_path_of_the_public_url():
    assert prefix_of_url("") == ""
    assert prefix_of_url("https://songs.example") == ""
    assert prefix_of_url("https://songs.example/a/b/") == "/a/b"


@pytest.mark.parametrize("origin", ["https://songs.example", "http://localhost"])
async def test_the_page_of_the_public_url_is_the_services_own(
    clean_redis_url, models_dir, tmp_path, origin: str
):
    """Also where the proxy does not pass `Host` on."""
    async with serving(clean_redis_url, models_dir, tmp_path, public_url=URL) as service:
        headers = {"Origin": origin}
        assert (await service.client.post("/jobs", json=song(), headers=headers)).is_success
        for other in ("http://songs.example", "https://songs.example.evil", "https://evil.example"):
            response = await service.client.get("/jobs", headers={"Origin": other})
            assert_problem(response, 403, "origin_refused")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("", ""),
        ("https://Songs.example/jukebox", "https://songs.example"),
        ("https://songs.example:443", "https://songs.example"),
        ("http://songs.example:8080/", "http://songs.example:8080"),
        ("https://songs.example:4430", "https://songs.example:4430"),
    ],
)
def test_the_origin_of_a_url_is_written_as_browsers_write_it(url: str, origin: str):
    assert origin_of_url(url) == origin
