"""`GET /jobs`: filters, search, order and totals over HTTP."""

import asyncio

import pytest
import redis

from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import Service, assert_problem, serving
from tests.api.test_keys import bearer, posted
from tests.jobs.test_finding_jobs import a_job, as_older_release

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def listed(service: Service, **query):
    response = await service.client.get("/jobs", params=query)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["total"] == len(answer["data"])
    return [job["id"] for job in answer["data"]]


async def test_songs_are_found_by_what_people_remember_of_them(service: Service):
    rain = await service.post(title="Rain", tags=["slow"], lyrics="it pours", favorite=True)
    snow = await service.post(title="Été", notes="for Anna", artist="Nobody", genre="hiss")
    for query in (
        {"q": "rain"},
        {"q": "POUR"},
        {"tag": "Slow"},
        {"favorite": "true"},
        {"artist": "the sawtooths"},
        {"genre": "Drone"},
        {"created_before": snow["created_at"]},
        {"q": "ra saw", "tag": "slow", "status": "queued", "model": "tiny", "sort": "title"},
    ):
        assert await listed(service, **query) == [rain["id"]], query
    assert await listed(service, q="ete anna") == [snow["id"]]
    assert await listed(service, created_after=rain["created_at"]) == [snow["id"]]
    assert await listed(service, q="rain anna") == await listed(service, q="...") == []
    for query in ({}, {"q": ""}, {"q": "  "}, {"favorite": "false"}):
        assert await listed(service, **query) == [snow["id"], rain["id"]]
    for sort in ("created_at", "title"):
        expected = sorted([rain, snow], key=lambda job: job[sort], reverse=sort == "title")
        assert await listed(service, sort=sort) == [job["id"] for job in expected]


async def test_the_total_counts_all_pages(service: Service):
    for _ in range(3):
        await service.post(tags=["a"])
    first = (await service.client.get("/jobs?tag=a&limit=2&sort=title")).json()
    assert (len(first["data"]), first["total"], first["has_more"]) == (2, 3, True)
    cursor = first["next_cursor"]
    rest = (await service.client.get(f"/jobs?tag=a&limit=2&sort=title&cursor={cursor}")).json()
    assert (len(rest["data"]), rest["total"], rest["has_more"]) == (1, 3, False)
    other = await service.client.get(f"/jobs?tag=a&sort=created_at&cursor={cursor}")
    assert_problem(other, 422, "invalid_request")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("q=" + "x" * 201, "/q"),
        ("q=" + "+".join("abcdefghijklm"), "/q"),
        ("favorite=perhaps", "/favorite"),
        ("tag=", "/tag"),
        ("tag=" + "x" * 51, "/tag"),
        ("artist=", "/artist"),
        ("genre=" + "x" * 201, "/genre"),
        ("created_before=5", "/created_before"),
        ("sort=-title", "/sort"),
        ("tags=a", "/tags"),
    ],
)
async def test_filters_that_mean_nothing_are_refused(service: Service, query, pointer):
    problem = assert_problem(await service.client.get(f"/jobs?{query}"), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == pointer
    assert "values" not in problem["detail"], "texts have characters"


async def test_keys_do_not_find_each_others_songs(service: Service):
    keys = ApiKeyFile(service.data_dir)
    mine, yours, admin = (
        bearer(keys, name, *scopes)
        for name, *scopes in (["mine"], ["yours"], ["admin", Scope.ADMIN])
    )
    job = await posted(service, mine, title="Rain", tags=["a"], favorite=True)
    for query in ("q=rain", "tag=a", "favorite=true", "artist=the+sawtooths", "sort=title", ""):
        for headers, expected in ((mine, 1), (admin, 1), (yours, 0)):
            answer = (await service.client.get(f"/jobs?{query}", headers=headers)).json()
            assert (len(answer["data"]), answer["total"]) == (expected, expected), query
    path = job["urls"]["self"]
    denied = await service.client.patch(path, json={"title": "Mine"}, headers=yours)
    assert_problem(denied, 404, "job_not_found")
    assert (await service.client.get(path, headers=mine)).json()["title"] == "Rain"


async def test_naming_needs_the_same_scope_as_canceling(service: Service):
    keys = ApiKeyFile(service.data_dir)
    job = await posted(service, bearer(keys, "all"))
    reading = bearer(keys, "reading", Scope.READ)
    response = await service.client.patch(job["urls"]["self"], json={}, headers=reading)
    assert_problem(response, 403, "scope_missing")


async def test_songs_of_the_last_release_are_found_soon_after_the_service_starts(
    clean_redis_url, models_dir, tmp_path
):
    jobs = [a_job(n, lyrics=f"old song {n}", levels=("top",)) for n in range(300)]
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as server:
        for job in jobs:
            as_older_release(server, job)
    async with serving(clean_redis_url, models_dir, tmp_path) as service, asyncio.timeout(60.0):
        every = (await service.client.get("/jobs?limit=100")).json()
        assert every["total"] == 300, "nobody waits for the lists"
        while (await service.client.get("/jobs?q=old+song")).json()["total"] != 300:
            await asyncio.sleep(0.05)
        assert await listed(service, q="song 123") == [jobs[123].id]
        named = await service.client.patch(f"/jobs/{jobs[7].id}", json={"title": "Old"})
        assert named.status_code == 200
        assert (await service.client.get("/jobs?sort=title")).json()["data"][0]["title"] == "Old"
