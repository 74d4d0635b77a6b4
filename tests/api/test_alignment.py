"""Times of lyrics: as the worker wrote them, or as players want them."""

import json

import numpy as np
import pytest

from jobs.record.job import new_job_id
from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.times import lyric_times
from tests.api.conftest import Service, assert_problem

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

TEXT = "la la\nlo lo"


async def aligned(service: Service) -> dict:
    """A finished job of two takes, the second with times."""
    job = await service.post(num_samples=2, lyrics=TEXT)
    service.worker.sing(job["id"])
    attention = np.eye(len(TEXT), dtype=np.float32).repeat(10, axis=0)
    times = lyric_times(attention, TEXT, tokens_per_second=20.0)
    with service.artifacts.new_file(job["id"], "alignment-1.json") as path:
        path.write_text(to_json(times), encoding="utf-8")
    return job


async def test_the_times_come_as_json(service: Service):
    job = await aligned(service)
    response = await service.client.get(job["urls"]["alignment"], params={"sample": 1})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"].endswith("%20%28take%202%29.json")
    assert [word["text"] for word in response.json()["words"]] == ["la", "la", "lo", "lo"]


@pytest.mark.parametrize(
    ("wanted", "media_type", "word"),
    [
        ("lrc", "text/plain; charset=utf-8", "[00:03.00]<00:03.00>lo <00:04.50>lo <00:05.50>\n"),
        ("lrc-lines", "text/plain; charset=utf-8", "[00:03.00]lo lo\n"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT"),
    ],
)
async def test_the_times_come_as_players_want_them(service: Service, wanted, media_type, word):
    job = await aligned(service)
    params = {"sample": 1, "format": wanted}
    response = await service.client.get(job["urls"]["alignment"], params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    assert word in response.text
    ending = wanted.removesuffix("-lines")
    assert response.headers["content-disposition"].endswith(f"%20%28take%202%29.{ending}")
    headers = {"if-none-match": response.headers["etag"]}
    again = await service.client.get(job["urls"]["alignment"], params=params, headers=headers)
    assert again.status_code == 304


async def test_times_that_are_not_there_are_a_404_that_says_why(service: Service):
    job = await aligned(service)
    silent = await service.post(lyrics="")
    waiting = await service.post()
    for path, params, word in (
        (job["urls"]["alignment"], {}, "succeeded"),
        (job["urls"]["alignment"], {"sample": 7}, "no sample 7"),
        (silent["urls"]["alignment"], {}, "no lyrics"),
        (waiting["urls"]["alignment"], {}, "no lyric timing yet"),
    ):
        response = await service.client.get(path, params=params)
        problem = assert_problem(response, 404, "alignment_not_found")
        assert word in problem["detail"]
    assert response.headers["retry-after"]
    missing = await service.client.get(f"/jobs/{new_job_id()}/alignment")
    assert_problem(missing, 404, "job_not_found")


async def test_a_model_without_an_alignment_head_says_so(service: Service, monkeypatch):
    waiting = await service.post()
    monkeypatch.setattr("api.routes.alignment._has_alignment_head", lambda *_: False)
    response = await service.client.get(waiting["urls"]["alignment"])
    assert "no alignment head" in assert_problem(response, 404, "alignment_not_found")["detail"]


async def test_a_damaged_file_is_gone(service: Service):
    job = await aligned(service)
    path = service.artifacts.path(job["id"], "alignment-1.json")
    path.write_text(json.dumps({"text": "la"}))
    params = {"sample": 1, "format": "vtt"}
    response = await service.client.get(job["urls"]["alignment"], params=params)
    assert_problem(response, 410, "file_gone")


@pytest.mark.parametrize("params", [{"sample": -1}, {"sample": 16}, {"format": "srt"}, {"x": 1}])
async def test_what_it_does_not_know_is_refused(service: Service, params):
    job = await aligned(service)
    path = f"/jobs/{job['id']}/alignment"
    assert_problem(await service.client.get(path, params=params), 422, "invalid_request")
