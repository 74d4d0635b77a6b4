"""The page at /docs comes from the service alone."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

FOREIGN = re.compile(r"https?://|//[a-z]", re.IGNORECASE)


class References(HTMLParser):
    """What a page loads, and scripts and styles that are written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.urls += [str(found[name]) for name in ("src", "href") if name in found]
        if tag == "style" or (tag == "script" and "src" not in found):
            self.inline.append(tag)
        self.inline += [name for name in found if name.startswith("on") or name == "style"]


async def test_everything_that_the_page_loads_is_served_here_and_needs_no_key(service: Service):
    ApiKeyFile(service.data_dir).create("me", [Scope.READ])
    page = await service.client.get("/docs")
    assert page.status_code == 200
    found = References()
    found.feed(page.text)
    assert len(found.urls) == 4
    for url in found.urls:
        response = await service.client.get(urljoin(str(page.url), url))
        assert response.status_code == 200, url
        kind = {".js": "text/javascript", "css": "text/css", "png": "image/png"}[url[-3:]]
        assert response.headers["content-type"].startswith(kind)
        assert len(response.content) > 50
        if "start" not in url:
            again = {"If-None-Match": response.headers["etag"]}
            assert (await service.client.get(f"/{url}", headers=again)).status_code == 304
    start = (await service.client.get("/docs/start.js")).text
    document = re.search(r'url: "([^"]+)"', start)
    assert document is not None
    response = await service.client.get(urljoin(str(page.url), document[1]))
    assert response.json()["openapi"].startswith("3.1")


async def test_the_page_names_no_foreign_host_and_may_load_from_none(service: Service):
    for path in ("/docs", "/docs/start.js"):
        assert not FOREIGN.search((await service.client.get(path)).text)
    response = await service.client.get("/docs")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "http" not in policy
    found = References()
    found.feed(response.text)
    assert found.inline == []


async def test_no_policy_names_a_foreign_host(service: Service):
    job = await service.post()
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/jobs",
        job["urls"]["self"],
        "/nothing",
        "/docs/x",
    ):
        policy = (await service.client.get(path)).headers["content-security-policy"]
        assert "http" not in policy
        assert "unsafe" not in policy


async def test_ranges_of_the_files_of_the_page_are_read_as_those_of_songs(service: Service):
    async def get(asked: str):
        return await service.client.get("/docs/swagger-ui.css", headers={"range": asked})

    assert [(await get(asked)).status_code for asked in ("bytes=0-3", "lines=0-3")] == [206, 200]
    assert_problem(await get("bytes=99999999-"), 416, "range_not_satisfiable")


async def test_no_other_file_of_the_package_is_served(service: Service):
    for name in ("__init__.py", "..%2fmain.py", "swagger-ui-bundle.js.map"):
        assert (await service.client.get(f"/docs/{name}")).status_code in (404, 422)


async def test_the_document_names_the_prefix_as_its_server(clean_redis_url, models_dir, tmp_path):
    settings = {"public_url": "https://songs.example/jukebox"}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        document = (await service.client.get("/openapi.json")).json()
        assert document["servers"] == [{"url": "/jukebox"}]
        forwarded = {"X-Forwarded-Prefix": "/music"}
        other = (await service.client.get("/openapi.json", headers=forwarded)).json()
        assert other["servers"] == [{"url": "/music"}]
        again = (await service.client.get("/openapi.json")).json()
        assert again == document
