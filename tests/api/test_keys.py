"""API keys: who is let in, to what, and whose jobs are there."""

from typing import Any

import httpx
import pytest

from api.access.auth import OPEN_PATHS, SESSION_PATH
from jobs.api_keys import FILE_NAME, ApiKeyFile, Scope
from jobs.record.job import new_job_id
from tests.api.conftest import Service, assert_problem, song
from tests.api.sounds import encoded, tone

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

BOTH = (Scope.SUBMIT, Scope.READ)


@pytest.fixture
def keys(service: Service) -> ApiKeyFile:
    return ApiKeyFile(service.data_dir)


def bearer(keys: ApiKeyFile, name: str, *scopes: Scope) -> dict[str, str]:
    _, token = keys.create(name, scopes or BOTH)
    return {"Authorization": f"Bearer {token}"}


async def posted(service: Service, headers: dict[str, str], **changes: Any) -> dict[str, Any]:
    response = await service.client.post("/jobs", json=song(**changes), headers=headers)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


async def listed(service: Service, headers: dict[str, str], path: str = "/jobs") -> list[str]:
    response = await service.client.get(path, headers=headers)
    return [job["id"] for job in response.json()["data"]]


async def operations(service: Service) -> list[tuple[str, str]]:
    document = (await service.client.get("/openapi.json")).json()
    return [
        (
            method.upper(),
            path.format(job_id=new_job_id(), asset_id="asset_" + "0" * 32, name="tiny"),
        )
        for path, methods in document["paths"].items()
        for method in methods
    ]


async def test_without_a_key_nothing_is_told_once_there_are_keys(service: Service, keys):
    assert (await service.client.get("/jobs")).status_code == 200
    bearer(keys, "alice")
    for method, path in await operations(service):
        response = await service.client.request(method, path)
        if path in OPEN_PATHS:
            assert response.status_code == 200, path
        elif method == "HEAD":
            assert response.status_code == 401
        else:
            assert_problem(response, 401, "api_key_missing")
            assert response.headers["www-authenticate"] == "Bearer"
    assert_problem(await service.client.get("/nowhere"), 401, "api_key_missing")


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Basic abc", "Bearer jbx_x", "Bearer \u00e9", "jbx_x", "Bearer a b"],
)
async def test_what_is_no_key_is_a_401(service: Service, keys, value: str):
    bearer(keys, "alice")
    headers = [(b"Authorization", value.encode("latin-1"))]
    response = await service.client.get("/jobs", headers=headers)
    assert response.status_code == 401
    assert response.json()["code"] in ("api_key_missing", "api_key_unknown")


async def test_a_revoked_key_opens_nothing_any_more_nor_does_the_end_of_all_keys(
    service: Service, keys
):
    alice = bearer(keys, "alice")
    assert (await service.client.get("/jobs", headers=alice)).status_code == 200
    keys.revoke("alice")
    assert_problem(await service.client.get("/jobs", headers=alice), 401, "api_key_unknown")
    assert_problem(await service.client.get("/jobs"), 401, "api_key_missing")


async def test_a_key_allows_what_its_scopes_say(service: Service, keys):
    reader, writer = bearer(keys, "r", Scope.READ), bearer(keys, "w", Scope.SUBMIT)
    job = await posted(service, writer)
    assert_problem(await service.client.get("/jobs", headers=writer), 403, "scope_missing")
    for method, path in await operations(service):
        if path in OPEN_PATHS or path == SESSION_PATH:
            continue
        headers = writer if method in ("GET", "HEAD") else reader
        response = await service.client.request(method, path, headers=headers)
        assert response.status_code == 403, f"{method} {path}"
    assert (await service.client.post(job["urls"]["cancel"], headers=writer)).status_code == 200
    assert (await service.client.get("/models", headers=reader)).status_code == 200


async def test_the_job_of_another_is_not_there(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    job = await posted(service, alice)
    service.worker.sing(job["id"])
    assert job["owner"] == keys.find(alice["Authorization"].split()[1]).id
    for method, path in await operations(service):
        if "/jobs/job_" not in path:
            continue
        mine = "/".join(["/jobs", job["id"], *path.split("/")[3:]])
        response = await service.client.request(method, mine, headers=bob)
        assert response.status_code == 404, f"{method} {path}"
        if method != "HEAD":
            assert_problem(response, 404, "job_not_found")
    assert (await service.client.get(job["urls"]["audio"], headers=alice)).status_code == 200


async def test_nobody_goes_on_from_the_job_or_the_asset_of_another(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    parent = await posted(service, alice, levels=["top"])
    service.worker.sing(parent["id"])
    files = {"file": ("a.wav", encoded(tone()))}
    asset = (await service.client.post("/assets", files=files, headers=alice)).json()
    more = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1}
    primed = song(mode="primed", prompt={"asset_id": asset["id"]})
    for body in (more, primed):
        response = await service.client.post("/jobs", json=body, headers=bob)
        assert "no " in assert_problem(response, 422, "invalid_request")["detail"]
        assert (await service.client.post("/jobs", json=body, headers=alice)).status_code == 202
    for method in ("GET", "DELETE"):
        response = await service.client.request(method, asset["urls"]["self"], headers=bob)
        assert_problem(response, 404, "asset_not_found")
    assert (await service.client.delete(asset["urls"]["self"], headers=alice)).status_code == 204


async def test_nobody_puts_the_songs_of_another_into_ones_own(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    hers, his = [await posted(service, each, levels=["top"]) for each in (alice, bob)]
    for job in (hers, his):
        service.worker.sing(job["id"])
    body = {"mode": "splice", "parts": [{"source": his["id"]}, {"source": hers["id"]}]}
    before = sorted(service.left_behind())
    refused = await service.client.post("/jobs", json=body, headers=bob)
    problem = assert_problem(refused, 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/parts/1/source"
    assert "no job has this id" in problem["detail"]
    assert sorted(service.left_behind()) == before
    body["parts"] = [{"source": his["id"]}] * 2
    assert (await service.client.post("/jobs", json=body, headers=bob)).status_code == 202


async def test_lists_show_ones_own_jobs_and_all_of_them_to_an_admin(service: Service, keys):
    before = await service.post()
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    admin = bearer(keys, "root", Scope.ADMIN)
    hers, his = await posted(service, alice), await posted(service, bob)
    assert await listed(service, alice) == [hers["id"]]
    assert await listed(service, bob, "/jobs?status=queued&model=tiny") == [his["id"]]
    assert await listed(service, bob, "/jobs?status=running") == []
    assert await listed(service, bob, f"/jobs?root={hers['id']}") == []
    assert await listed(service, alice, f"/jobs?root={hers['id']}") == [hers["id"]]
    assert await listed(service, admin) == [his["id"], hers["id"], before["id"]]
    assert (await service.client.get(hers["urls"]["self"], headers=admin)).status_code == 200
    assert (await service.client.post(his["urls"]["cancel"], headers=admin)).status_code == 200


async def test_pages_of_ones_own_jobs_hold_nobody_elses(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    hers = [(await posted(service, owner))["id"] for owner in (alice, bob) * 3][::2]
    page = (await service.client.get("/jobs?limit=2", headers=alice)).json()
    rest = (
        await service.client.get(f"/jobs?limit=2&cursor={page['next_cursor']}", headers=alice)
    ).json()
    assert [job["id"] for job in page["data"] + rest["data"]] == hers[::-1]
    assert rest["has_more"] is False


async def test_children_of_ones_job_by_another_are_shown_to_the_admin_only(service: Service, keys):
    alice, admin = bearer(keys, "alice"), bearer(keys, "root", Scope.ADMIN)
    parent = await posted(service, alice, levels=["top"])
    service.worker.sing(parent["id"])
    body = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1}
    child = (await service.client.post("/jobs", json=body, headers=admin)).json()
    assert await listed(service, admin, parent["urls"]["children"]) == [child["id"]]
    assert await listed(service, alice, parent["urls"]["children"]) == []


async def test_the_same_idempotency_key_of_two_callers_makes_two_jobs(service: Service, keys):
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    ids = {
        (await posted(service, {**headers, "Idempotency-Key": "k"}))["id"]
        for headers in (alice, bob)
    }
    assert len(ids) == 2


async def test_a_damaged_key_file_lets_nobody_in(service: Service, keys, caplog):
    alice = bearer(keys, "alice")
    (service.data_dir / FILE_NAME).write_text("{")
    response = await service.client.get("/jobs", headers=alice)
    assert_problem(response, 503, "api_keys_unreadable")
    assert "cannot be read" in caplog.text


# --- browsers


PAGES: list[tuple[dict[str, str], bool]] = [
    ({"Origin": "http://localhost"}, True),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "http://localhost:3000"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://[bad"}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
    ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, False),
]


@pytest.mark.parametrize(("headers", "is_served"), PAGES)
async def test_a_page_of_another_site_cannot_make_the_browser_ask(
    service: Service, headers: dict[str, str], is_served: bool
):
    response = await service.client.get("/jobs", headers=headers)
    if is_served:
        assert response.status_code == 200
    else:
        assert_problem(response, 403, "origin_refused")
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_form_of_another_site_posts_no_song(service: Service):
    headers = {"Origin": "https://evil.example", "content-type": "text/plain"}
    response = await service.client.post("/jobs", content=b"{}", headers=headers)
    assert_problem(response, 403, "origin_refused")
    preflight = await service.client.options("/jobs", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "a.localhost"])
async def test_without_keys_names_of_this_machine_are_answered(service: Service, host: str):
    response = await service.client.get("/readyz", headers={"host": host})
    assert response.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "", "[bad"])
async def test_without_keys_a_name_that_was_bent_to_here_is_refused(service: Service, host: str):
    response = await service.client.get("/jobs", headers={"host": host})
    assert_problem(response, 403, "host_refused")


async def test_with_a_key_any_host_name_is_answered(service: Service, keys):
    headers = {**bearer(keys, "alice"), "host": "songs.example"}
    assert (await service.client.get("/jobs", headers=headers)).status_code == 200
    headers["Origin"] = "https://songs.example"
    assert (await service.client.get("/jobs", headers=headers)).status_code == 200


async def test_without_keys_another_machine_is_refused(service: Service, keys):
    app = service.client._transport.app  # type: ignore[attr-defined]
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
        assert_problem(await stranger.get("/jobs"), 401, "api_key_missing")
        alice = bearer(keys, "alice")
        assert (await stranger.get("/jobs", headers=alice)).status_code == 200


async def test_every_answer_has_careful_headers(service: Service):
    for path in ("/jobs", "/nowhere", "/healthz", "/docs"):
        headers = (await service.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert ("default-src 'none'" in policy) == (path != "/docs")
