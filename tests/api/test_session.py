"""A cookie in place of a key, for the service's own page and for no other."""

from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.test_signed_urls import bearer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

OWN = {"Origin": "http://localhost"}
BY_FETCH = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


@pytest.fixture
def keys(service: Service) -> ApiKeyFile:
    return ApiKeyFile(service.data_dir)


def cookie_of(response: httpx.Response) -> Any:
    (morsel,) = SimpleCookie(response.headers["set-cookie"]).values()
    return morsel


async def opened(service: Service, headers: dict[str, str]) -> dict[str, str]:
    """The header of a browser with a session."""
    response = await service.client.post("/session", headers=headers)
    assert response.status_code == 201, response.text
    service.client.cookies.clear()
    return {"Cookie": f"jukebox_session={cookie_of(response).value}"}


async def test_a_session_stands_for_its_key(service: Service, keys):
    alice = bearer(keys, "alice")
    session = await opened(service, alice)
    response = await service.client.post("/jobs", json=song(), headers=session | OWN)
    assert response.status_code == 202
    job = response.json()
    assert job["urls"]["signed"] is not None
    assert (await service.client.get(job["urls"]["self"], headers=session)).json()["id"] == job[
        "id"
    ]
    shown = (await service.client.get("/session", headers=session)).json()
    assert shown["owner"] == job["owner"]
    assert shown["scopes"] == ["read", "submit"]
    assert shown["expires_at"] is not None
    assert (await service.client.get("/jobs")).status_code == 401


async def test_scripts_cannot_read_the_cookie_and_other_sites_cannot_send_it(
    service: Service, keys
):
    response = await service.client.post("/session", headers=bearer(keys, "alice"))
    cookie = cookie_of(response)
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert not cookie["secure"]
    assert cookie["path"] == "/"
    assert 0 < int(cookie["max-age"]) <= 12 * 3600
    headers = bearer(keys, "bob") | {"X-Forwarded-Proto": "https"}
    assert cookie_of(await service.client.post("/session", headers=headers))["secure"]


async def test_the_cookie_is_for_the_prefix_of_the_proxy(clean_redis_url, models_dir, tmp_path):
    settings = {"public_url": "https://songs.example/jukebox"}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        headers = bearer(ApiKeyFile(tmp_path), "alice")
        response = await service.client.post("/session", headers=headers)
        assert cookie_of(response)["path"] == "/jukebox"
        assert cookie_of(response)["secure"], "the public URL is https"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "http://other.localhost"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": "http://localhost/docs"},
    ],
    ids=str,
)
async def test_nothing_is_changed_by_a_cookie_that_no_page_of_this_service_sends(
    service: Service, keys, headers: dict[str, str]
):
    session = await opened(service, bearer(keys, "alice"))
    before = service.left_behind()
    for method, path in (("POST", "/jobs"), ("DELETE", "/session"), ("POST", "/session")):
        response = await service.client.request(
            method, path, json=song() if path == "/jobs" else None, headers=session | headers
        )
        assert_problem(response, 403, "origin_refused")
    assert service.left_behind() == before


@pytest.mark.parametrize("headers", [OWN, BY_FETCH], ids=str)
async def test_a_page_of_this_service_may_change_things(service: Service, keys, headers):
    session = await opened(service, bearer(keys, "alice"))
    response = await service.client.post("/jobs", json=song(), headers=session | headers)
    assert response.status_code == 202


async def test_a_session_ends_with_its_key(service: Service, keys):
    session = await opened(service, bearer(keys, "alice"))
    bearer(keys, "bob")
    keys.revoke("alice")
    response = await service.client.get("/jobs", headers=session)
    assert_problem(response, 401, "api_key_unknown")


async def test_a_session_that_is_closed_is_over_everywhere(service: Service, keys, models_dir):
    session = await opened(service, bearer(keys, "alice"))
    async with serving(service.redis_url, models_dir, service.data_dir) as other:
        assert (await other.client.get("/jobs", headers=session)).status_code == 200
        response = await service.client.delete("/session", headers=session | OWN)
        assert response.status_code == 204
        assert cookie_of(response).value == ""
        assert int(cookie_of(response)["max-age"]) == 0
        for each in (service, other):
            response = await each.client.get("/jobs", headers=session)
            assert_problem(response, 401, "session_unknown")


async def test_a_session_ends_by_itself(service: Service, keys):
    key, _ = keys.create("alice", [Scope.READ])
    token = service.store.open_session(key.id, ttl_sec=3600)
    found = service.store.session(token)
    assert found is not None
    assert found[0] == key.id
    assert 3590 < found[1] <= 3600
    token = service.store.open_session(key.id, ttl_sec=1)
    while service.store.session(token) is not None:
        pass
    headers = {"Cookie": f"jukebox_session={token}"}
    assert_problem(await service.client.get("/jobs", headers=headers), 401, "session_unknown")


async def test_a_session_has_the_scopes_of_its_key(service: Service, keys):
    session = await opened(service, bearer(keys, "reader", Scope.READ))
    assert (await service.client.get("/jobs", headers=session)).status_code == 200
    response = await service.client.post("/jobs", json=song(), headers=session | OWN)
    assert_problem(response, 403, "scope_missing")


async def test_a_session_opens_no_other(service: Service, keys):
    session = await opened(service, bearer(keys, "alice"))
    response = await service.client.post("/session", headers=session | OWN)
    assert_problem(response, 403, "key_required")


async def test_a_key_in_the_header_comes_before_the_cookie(service: Service, keys):
    session = await opened(service, bearer(keys, "alice"))
    bob = bearer(keys, "bob")
    shown = (await service.client.get("/session", headers=session | bob)).json()
    assert shown["owner"] == keys.find(bob["Authorization"].split()[1]).id
    assert shown["expires_at"] is None
    assert (await service.client.post("/jobs", json=song(), headers=session | bob)).is_success


@pytest.mark.parametrize("value", ["", "x", "jbx_0123456789abcdef", "%00", "a" * 5000])
async def test_what_is_no_session_is_a_401(service: Service, keys, value: str):
    bearer(keys, "alice")
    headers = {"Cookie": f"jukebox_session={value}"}
    assert_problem(await service.client.get("/jobs", headers=headers), 401, "session_unknown")


async def test_the_store_holds_no_word_that_opens_a_session(service: Service, keys):
    session = await opened(service, bearer(keys, "alice"))
    token = session["Cookie"].partition("=")[2]
    assert not any(token in each for each in service.left_behind())


async def test_a_service_without_keys_needs_no_session(service: Service):
    response = await service.client.post("/session")
    assert response.status_code == 201
    assert "set-cookie" not in response.headers
    assert response.json() == {
        "object": "session",
        "owner": None,
        "scopes": ["admin", "read", "submit"],
        "expires_at": None,
    }
    assert (await service.client.delete("/session")).status_code == 204
