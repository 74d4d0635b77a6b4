"""The page at / and its files come from the service alone, and browsers may keep them."""

import re

import pytest

from jobs.api_keys import ApiKeyFile, Scope
from studio.files import STATIC, static_files, version
from tests.api.conftest import Service, serving
from tests.api.test_docs_page import References

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

FOLLOWED = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
"""What a browser sends when somebody follows a link on another site."""
MEDIA_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}


async def test_the_root_is_the_page_itself(service: Service):
    response = await service.client.get("/", follow_redirects=False)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert "<title>Jukebox</title>" in response.text
    assert '<meta name="session" content="unknown">' in response.text


async def test_the_page_and_its_files_need_no_key(service: Service):
    ApiKeyFile(service.data_dir).create("me", [Scope.READ])
    page = await service.client.get("/")
    found = References()
    found.feed(page.text)
    assert found.inline == []
    assert '<meta name="session" content="key_needed">' in page.text
    linked = await service.client.get("/", headers=FOLLOWED)
    assert '<meta name="session" content="unknown">' in linked.text
    files = [url for url in found.urls if url.startswith("/studio/")]
    assert len(files) > 30
    for url in files:
        response = await service.client.get(url)
        assert response.status_code == 200, url
        assert response.headers["content-type"] == MEDIA_TYPES[url.rpartition(".")[2]]
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_the_policy_admits_nothing_from_elsewhere_and_no_inline_script(service: Service):
    policies = []
    for _ in range(2):
        response = await service.client.get("/")
        policy = response.headers["content-security-policy"]
        policies.append(policy)
        assert policy.startswith("default-src 'self'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        nonce = re.search(r"style-src 'self' 'nonce-([\w-]{20,})'", policy)
        assert nonce is not None
        assert f'content="{nonce[1]}"' in response.text
    assert policies[0] != policies[1]


async def test_a_file_that_the_browser_holds_is_not_sent_again(service: Service):
    url = f"/studio/{version()}/app.js"
    first = await service.client.get(url)
    again = {"If-None-Match": first.headers["etag"]}
    second = await service.client.get(url, headers=again)
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["cache-control"] == first.headers["cache-control"]


async def test_a_page_from_before_an_update_gets_files_but_must_not_keep_them(service: Service):
    response = await service.client.get("/studio/0123456789abcdef/app.js")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2f..%2ffiles.py", "vendor/", ""])
async def test_nothing_but_the_files_of_the_page_is_served(service: Service, name: str):
    response = await service.client.get(f"/studio/{version()}/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "route_not_found"


async def test_behind_a_proxy_every_address_has_its_prefix(clean_redis_url, models_dir, tmp_path):
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        forwarded = {"X-Forwarded-Prefix": "/music"}
        for path in ("/", "/music/"):
            page = await service.client.get(path, headers=forwarded)
            found = References()
            found.feed(page.text)
            own = [url for url in found.urls if url != "docs"]
            assert all(url.startswith(f"/music/studio/{version()}/") for url in own)
            assert (await service.client.get(own[0], headers=forwarded)).status_code == 200


def test_scripts_are_small_and_lose_only_comments_and_indentation():
    total = sum(len(file.content) for name, file in static_files().items() if name.endswith(".js"))
    assert total < 250_000
    script = static_files()["lib/router.js"].content.decode()
    assert "export const route = signal(read());" in script
    assert "@typedef" not in script
    on_disk = (STATIC / "lib/router.js").read_text(encoding="utf-8").splitlines()
    lines = script.splitlines()
    assert len(lines) == len(on_disk)
    assert all(line in ("", there.lstrip()) for line, there in zip(lines, on_disk, strict=True))
