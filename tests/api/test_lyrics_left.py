"""What of the lyrics a take has sung, what is left, and what the next seconds would read."""

import json
from typing import Any

import numpy as np
import pytest

from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.times import lyric_times
from tests.api.conftest import Service, assert_problem, song
from tests.api.test_modes import accepted

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

TEXT = "one two\nthree four"


def timed(text: str, num_sung: int, seconds: float) -> str:
    """Lyric timing of a song that sings so many characters evenly, and then nothing."""
    attention = np.zeros((round(seconds * 20), len(text)), dtype=np.float32)
    for character in range(num_sung):
        attention[character * 10 : character * 10 + 10, character] = 0.9
    return to_json(lyric_times(attention, text, tokens_per_second=20.0))


async def sung(service: Service, num_sung: int, *, sample: int = 0, **body: Any) -> dict[str, Any]:
    job = await accepted(service, **body)
    service.worker.sing(job["id"])
    with service.artifacts.new_file(job["id"], f"alignment-{sample}.json") as path:
        text = timed(job["lyrics_as_read"], num_sung, job["duration_seconds"])
        path.write_text(text, encoding="utf-8")
    return job


async def lyrics_of(service: Service, job: dict[str, Any], **params: Any) -> dict[str, Any]:
    response = await service.client.get(job["urls"]["lyrics"], params=params)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_take_tells_what_it_has_sung_and_what_is_left(service: Service):
    job = await sung(service, 7, sample=1, **song(lyrics=TEXT, num_samples=2))
    answer = await lyrics_of(service, job, sample=1)
    assert (answer["sung"], answer["left"], answer["next"]) == ("one two", *["three four"] * 2)
    assert (await lyrics_of(service, job))["sung"] is None, "the first take has no times"
    beyond = await service.client.get(job["urls"]["lyrics"], params={"sample": 2})
    problem = assert_problem(beyond, 422, "invalid_request")
    assert "has 2 samples" in problem["detail"]


async def test_words_that_are_used_up_leave_nothing(service: Service):
    job = await sung(service, len(TEXT), **song(lyrics=TEXT))
    answer = await lyrics_of(service, job)
    assert (answer["sung"], answer["left"], answer["next"]) == (TEXT, "", "")


async def test_a_song_that_cannot_be_longer_has_nothing_next(service: Service):
    job = await sung(service, 3, **song(lyrics=TEXT))
    assert (await lyrics_of(service, job, next_seconds=599))["next"] is None


async def test_of_long_lyrics_the_next_windows_read_a_part(service: Service):
    text = " ".join(f"word{number:03d}" for number in range(120))
    job = await sung(service, 7, **song(lyrics=text, song_duration_seconds=60))
    answer = await lyrics_of(service, job, next_seconds=2)
    assert answer["left"].startswith("word001")
    assert 0 < len(answer["next"]) < len(answer["left"])
    assert answer["next"] in text


@pytest.mark.parametrize("lyrics", ["", "\U0001f600"])
async def test_a_song_without_words_has_none_left(service: Service, lyrics: str):
    job = await accepted(service, **song(lyrics=lyrics))
    answer = await lyrics_of(service, job)
    assert answer["words"] == []
    assert answer["sung"] is answer["left"] is answer["next"] is None


async def test_a_continued_song_remembers_where_it_was_continued(service: Service):
    first = await sung(service, 7, **song(lyrics=TEXT))
    second = await sung(
        service, 7, mode="continue", parent_id=first["id"], cut_seconds=8, duration_seconds=2
    )
    third = await accepted(
        service, mode="continue", parent_id=second["id"], cut_seconds=9, duration_seconds=2
    )
    joins = [service.store.get(job["id"]).lyric_joins for job in (first, second, third)]
    assert joins == [(), (500,), (500, 562)]
    cut = await accepted(
        service, mode="continue", parent_id=second["id"], cut_seconds=7, duration_seconds=2
    )
    assert service.store.get(cut["id"]).lyric_joins == (437,)
    other = await accepted(
        service,
        mode="continue",
        parent_id=second["id"],
        duration_seconds=2,
        lyrics="other words",
    )
    assert service.store.get(other["id"]).lyric_joins == ()


async def test_a_preview_tells_which_words_fit(service: Service):
    params = {"lyrics": TEXT, "duration_seconds": 10, "song_duration_seconds": 18}
    response = await service.client.get("/models/tiny/lyrics-preview", params=params)
    answer = response.json()
    assert [(word["text"], word["fits"]) for word in answer["words"]] == [
        ("one", True),
        ("two", True),
        ("three", False),
        ("four", False),
    ]
    starts = [word["start_seconds"] for word in answer["words"]]
    assert starts == pytest.approx([0.0, 4.0, 8.0, 14.0], abs=0.02)
    assert answer["seconds_needed"] == pytest.approx(18.0, abs=0.02)
    whole = await service.client.get(
        "/models/tiny/lyrics-preview", params={**params, "duration_seconds": 18}
    )
    assert all(word["fits"] for word in whole.json()["words"])
    later = await service.client.get(
        "/models/tiny/lyrics-preview",
        params={**params, "duration_seconds": 14, "offset_seconds": 4},
    )
    assert [word["fits"] for word in later.json()["words"]] == [False, True, True, True]
    assert later.json()["words"][1]["start_seconds"] == pytest.approx(0.0, abs=0.02)


async def test_more_words_than_can_be_sung_need_longer(service: Service):
    text = "word " * 100
    params = {"lyrics": text, "duration_seconds": 10, "song_duration_seconds": 10}
    answer = (await service.client.get("/models/tiny/lyrics-preview", params=params)).json()
    assert answer["seconds_needed"] > 40
    assert 20 <= sum(word["fits"] for word in answer["words"]) <= 24


async def test_a_preview_has_no_take(service: Service):
    params = {"lyrics": TEXT, "duration_seconds": 10}
    answer = (await service.client.get("/models/tiny/lyrics-preview", params=params)).json()
    assert answer["sung"] is answer["left"] is answer["next"] is None
    assert json.dumps(answer)


async def test_finer_levels_of_a_continued_draft_are_sung_as_the_draft(service: Service):
    draft = await sung(service, 7, **song(lyrics=TEXT, levels=["top"]))
    longer = await sung(
        service, 7, mode="continue", parent_id=draft["id"], cut_seconds=8, duration_seconds=2
    )
    job = await accepted(service, mode="upsample", parent_id=longer["id"])
    assert service.store.get(job["id"]).lyric_joins == (500,)


async def test_what_cannot_be_previewed_is_refused_in_the_words_of_the_query(service: Service):
    query = {"lyrics": "a", "duration_seconds": 3, "song_duration_seconds": 1}
    response = await service.client.get("/models/tiny/lyrics-preview", params=query)
    problem = assert_problem(response, 422, "invalid_request")
    assert "duration_seconds=3" in problem["detail"]
    assert "_sec=" not in problem["detail"]
