"""Lyrics as people paste them, and the text that the model reads."""

import pytest
import redis

from jobs.store.scripts import record_key
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.test_modes import draft

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

LRC = "[ti:A title]\n[00:12.00]Hello there\n[00:15.50]is anybody home\n"
SUNG = "Hello there\nis anybody home"


def codes_of(job: dict) -> list[str]:
    return [warning["code"] for warning in job["warnings"]]


@pytest.mark.parametrize("line_break", ["\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
async def test_every_line_break_is_one(service: Service, line_break: str):
    job = await service.post(lyrics=f"there{line_break}is")
    assert job["input"]["lyrics"] == job["lyrics_as_read"] == "there\nis"
    assert job["warnings"] == []


async def test_time_stamps_and_marks_are_left_out_and_said(service: Service):
    job = await service.post(lyrics=LRC)
    assert job["lyrics_as_read"] == job["input"]["lyrics"] == SUNG
    assert codes_of(job) == ["lyrics_marks_removed"]
    detail = job["warnings"][0]["detail"]
    assert "2 LRC times and 1 mark such as '[ti:A title]'" in detail
    again = (await service.client.get(job["urls"]["self"])).json()
    assert again == job


async def test_plain_lyrics_are_sung_whole(service: Service):
    job = await service.post(lyrics="[Verse]\nHello", lyrics_format="plain")
    assert job["lyrics_as_read"] == "[Verse]\nHello"
    assert job["warnings"] == []


async def test_input_can_be_sent_again_and_means_the_same(service: Service):
    for lyrics_format in ("plain", "auto"):
        job = await service.post(lyrics=LRC, lyrics_format=lyrics_format)
        response = await service.client.post("/jobs", json=job["input"])
        assert response.status_code == 202, response.text
        assert response.json()["input"] == job["input"]


async def test_a_format_that_is_not_found_is_said_and_one_that_is_unknown_refused(
    service: Service,
):
    job = await service.post(lyrics="Hello", lyrics_format="srt")
    assert codes_of(job) == ["lyrics_format_not_found"]
    response = await service.client.post("/jobs", json=song(lyrics_format="ass"))
    assert_problem(response, 422, "invalid_request")


@pytest.mark.parametrize("lyrics", ["\U0001f600 \U0001f3b5", "[Instrumental]", " \n "])
async def test_lyrics_without_anything_to_sing_are_an_instrumental_that_is_said(
    service: Service, lyrics: str
):
    job = await service.post(lyrics=lyrics)
    assert "lyrics_not_singable" in codes_of(job)
    assert job["lyrics_as_read"].strip() == ""
    assert codes_of(await service.post(lyrics="")) == []


async def test_lines_repeated_beyond_all_bounds_are_refused(service: Service):
    lyrics = "[00:01]" * 1_000 + "la" * 1_000
    response = await service.client.post("/jobs", json=song(lyrics=lyrics))
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/lyrics"


async def test_what_is_inherited_is_not_read_again(service: Service):
    parent = await draft(service, lyrics="[Verse]\nHello", lyrics_format="plain")
    body = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1.0}
    child = (await service.client.post("/jobs", json=body)).json()
    assert child["input"]["lyrics"] == "[Verse]\nHello"
    cleaned = await service.client.post("/jobs", json={**body, "lyrics_format": "auto"})
    assert cleaned.json()["input"]["lyrics"] == "Hello"
    other = await service.client.post("/jobs", json={**body, "lyrics": "[Chorus]\nla"})
    assert other.json()["input"]["lyrics"] == "la"


async def test_a_record_of_an_older_release_is_shown_and_sung_as_it_is(service: Service):
    """It has no `lyrics_format`, and whatever its text holds was read by the alphabet alone."""
    job = await service.post(lyrics="la")
    with redis.Redis.from_url(service.redis_url, decode_responses=True) as client:
        stored = client.hget(record_key(job["id"]), "request")
        assert "lyrics_format" not in stored
        old = stored.replace('"lyrics":"la"', '"lyrics":"[Verse]\\rla"')
        client.hset(record_key(job["id"]), "request", old)
    view = (await service.client.get(job["urls"]["self"])).json()
    assert view["input"]["lyrics"] == "[Verse]\rla"
    assert view["lyrics_as_read"] == "[Verse]la"


async def test_each_window_shows_the_text_that_it_reads(service: Service):
    lyrics = "".join(f"line number {number}\n" for number in range(100))
    job = await service.post(lyrics=lyrics, duration_seconds=20, song_duration_seconds=40)
    answer = (await service.client.get(job["urls"]["lyrics"])).json()
    assert answer["object"] == "lyrics"
    assert answer["text"] == lyrics
    assert lyrics.startswith(answer["paced_text"])
    assert len(answer["paced_text"]) == pytest.approx(len(lyrics) / 2, abs=1)
    windows = answer["windows"]
    assert len(windows) == job["progress"]["levels"][0]["windows_total"]
    assert windows[0]["start_seconds"] == 0.0
    assert windows[-1]["end_seconds"] == pytest.approx(job["duration_seconds"], abs=0.01)
    places = [window["first_character"] for window in windows]
    assert places == sorted(places)
    assert places[0] < places[-1]
    for window in windows:
        first = window["first_character"]
        assert lyrics[first : first + len(window["text"])] == window["text"]


async def test_a_preview_says_what_the_job_would_say(service: Service):
    asked = {"lyrics": "Hello\n" * 60, "duration_seconds": 12, "offset_seconds": 3}
    response = await service.client.get("/models/tiny/lyrics-preview", params=asked)
    assert response.status_code == 200, response.text
    job = await service.post(**asked)
    assert response.json() == (await service.client.get(job["urls"]["lyrics"])).json()


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/models/nobody/lyrics-preview", {"lyrics": "la", "duration_seconds": 5}, 404),
        ("/models/tiny/lyrics-preview", {"lyrics": "la"}, 422),
        ("/models/tiny/lyrics-preview", {"lyrics": "la", "duration_seconds": 1e-4}, 422),
        (
            "/models/tiny/lyrics-preview",
            {"lyrics": "la", "duration_seconds": 5, "song_duration_seconds": 1},
            422,
        ),
        (
            "/models/tiny/lyrics-preview",
            {"lyrics": "[0:01]" * 600 + "la" * 200, "duration_seconds": 5},
            422,
        ),
    ],
)
async def test_a_preview_that_cannot_be_is_refused(service: Service, path, params, status):
    response = await service.client.get(path, params=params)
    code = {404: "model_not_found", 422: "invalid_request"}[status]
    assert_problem(response, status, code)


async def test_names_that_are_unknown_are_said_with_those_that_were_meant(service: Service):
    job = await service.post(artist="The Sawtoohts", genre="dronne")
    assert codes_of(job) == ["artist_unknown", "genre_unknown"]
    artist, genre = job["warnings"]
    assert artist["pointer"] == "/artist"
    assert "know 'The Sawtoohts'" in artist["detail"]
    assert "as unknown; did you mean the sawtooths?" in artist["detail"]
    assert "did you mean drone" in genre["detail"]
    quiet = await service.post(artist="", genre="")
    assert quiet["warnings"] == []
    strange = await service.post(artist="zzzzqqqq")
    assert "did you mean" not in strange["warnings"][0]["detail"]


async def test_a_job_whose_model_is_gone_is_still_shown(clean_redis_url, models_dir, tmp_path):
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        job = await service.post(lyrics=LRC)
    async with serving(clean_redis_url, tmp_path / "none", tmp_path) as service:
        view = (await service.client.get(job["urls"]["self"])).json()
        assert view["lyrics_as_read"] is None
        assert view["warnings"] == job["warnings"]
        response = await service.client.get(job["urls"]["lyrics"])
        assert_problem(response, 404, "model_not_found")
