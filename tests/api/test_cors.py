"""Pages of other sites: none by default, those of listed origins with a key of theirs."""

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from jobs.api_keys import ApiKeyFile
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.test_session import opened
from tests.api.test_signed_urls import bearer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

APP, OTHER = "https://app.example", "https://other.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
}


@pytest.fixture
async def listed(clean_redis_url, models_dir, tmp_path):
    settings = {"cors_origins": f"{APP}, http://localhost:3000"}
    async with serving(clean_redis_url, models_dir, tmp_path, **settings) as service:
        yield service


def cors_headers(response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


async def test_by_default_no_other_page_may_ask(service: Service):
    headers = {"Origin": APP}
    response = await service.client.get("/models", headers=headers)
    assert_problem(response, 403, "origin_refused")
    assert cors_headers(response) == set()
    response = await service.client.options("/jobs", headers=headers | PREFLIGHT)
    assert_problem(response, 403, "origin_refused")
    assert cors_headers(response) == set()


async def test_a_page_of_a_listed_origin_asks_with_its_key(listed: Service):
    key = bearer(ApiKeyFile(listed.data_dir), "app")
    response = await listed.client.options("/jobs", headers={"Origin": APP} | PREFLIGHT)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    assert "idempotency-key" in response.headers["access-control-allow-headers"].lower()
    headers = {"Origin": APP} | key
    response = await listed.client.post("/jobs", json=song(), headers=headers)
    assert response.status_code == 202
    assert response.headers["access-control-allow-origin"] == APP
    assert "Location" in response.headers["access-control-expose-headers"]
    assert "origin" in response.headers["vary"].lower()
    stream = response.json()["urls"]["signed"]["events"]
    listed.worker.sing(response.json()["id"])
    response = await listed.client.get(stream, headers={"Origin": APP})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP


async def test_a_page_of_a_listed_origin_can_read_why_it_was_refused(listed: Service):
    bearer(ApiKeyFile(listed.data_dir), "app")
    for path in ("/jobs", "/nothing"):
        response = await listed.client.get(path, headers={"Origin": APP})
        assert_problem(response, 401, "api_key_missing")
        assert response.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [OTHER, "http://app.example", f"{APP}:8443", f"{APP}.evil.example", "null", "", f"{APP}/"],
)
async def test_an_origin_that_is_not_listed_is_refused(listed: Service, origin: str):
    key = bearer(ApiKeyFile(listed.data_dir), "app")
    response = await listed.client.get("/jobs", headers={"Origin": origin} | key)
    assert_problem(response, 403, "origin_refused")
    assert cors_headers(response) == set()


async def test_a_listed_page_is_never_served_by_a_cookie(listed: Service):
    session = await opened(listed, bearer(ApiKeyFile(listed.data_dir), "app"))
    for method in ("GET", "POST"):
        response = await listed.client.request(
            method, "/jobs", json=song(), headers={"Origin": APP} | session
        )
        assert_problem(response, 403, "origin_refused")
        assert "access-control-allow-credentials" not in response.headers


async def test_the_services_own_page_goes_on_as_before(listed: Service):
    response = await listed.client.get("/models", headers={"Origin": "http://localhost"})
    assert response.status_code == 200
    assert cors_headers(response) == set()


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "app.example",
        "https://app.example/",
        "https://*.example",
        "null",
        "ftp://a",
        "https://",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(value: str):
    with pytest.raises(ValidationError, match="is no origin"):
        ApiSettings(redis_url="redis://localhost", cors_origins=value)


def test_several_origins_may_be_listed(monkeypatch):
    monkeypatch.setenv("JUKEBOX_CORS_ORIGINS", "https://a.example,http://localhost:3000")
    settings = ApiSettings(redis_url="redis://localhost")
    assert settings.cors_origins == {"https://a.example", "http://localhost:3000"}
