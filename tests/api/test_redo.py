"""A `redo`: the section as it was moved, its lyrics, labels and noise; what cannot be redone."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.record.codec import job_from_fields, job_to_fields
from jobs.record.job import SongSpan
from jobs.record.songs import plan_job
from jukebox_core.tiny import tiny_config
from jukebox_core.units import Level
from tests.api.conftest import Service
from tests.api.sounds import codes_file, sent
from tests.api.test_modes import accepted, prompt_codes, refused, sung
from tests.fixtures.ids import NOBODYS_ASSET, NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

TOKEN_SEC = 256 / 16_000
TEXT = "one two three four five\nsix seven eight nine ten"
SECTION = {"start_seconds": 4.0, "end_seconds": 6.0}


def redo(parent: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"mode": "redo", "parent_id": parent["id"], **SECTION, **changes}


def spans_of(service: Service, job: dict[str, Any]) -> tuple[SongSpan, ...]:
    return service.store.get(job["id"]).spans


async def test_the_answer_has_the_section_as_it_was_moved_and_its_margin(service: Service):
    parent = await sung(service)
    moments = {"start_seconds": 100.4 * TOKEN_SEC, "end_seconds": 199.5 * TOKEN_SEC}
    job = await accepted(service, **redo(parent, **moments, num_samples=3))
    assert job["section"]["start_seconds"] == pytest.approx(100 * TOKEN_SEC)
    assert job["section"]["end_seconds"] == pytest.approx(200 * TOKEN_SEC)
    assert 1.0 < job["section"]["margin_seconds"] < 3.0
    assert (job["input"]["start_seconds"], job["input"]["num_samples"]) == (100.4 * TOKEN_SEC, 3)
    assert (job["parent_id"], job["root_id"]) == (parent["id"], parent["id"])
    assert job["duration_seconds"] == pytest.approx(625 * TOKEN_SEC)
    assert parent["section"] is None
    top, *_ = job["progress"]["levels"]
    # 1 s behind the section is sampled, too: 62 tokens.
    assert (top["tokens_done"], top["tokens_total"]) == (625 - 162, 625)


async def test_a_section_without_an_end_goes_to_the_end_of_the_song(service: Service):
    parent = await sung(service)
    job = await accepted(service, **redo(parent, end_seconds=None))
    assert job["section"]["end_seconds"] == pytest.approx(10.0)


async def test_a_worker_plans_what_was_accepted(service: Service):
    parent = await sung(service)
    job = service.store.get((await accepted(service, **redo(parent)))["id"])
    planned = plan_job(job, tiny_config())
    assert planned.level_plans() == job.plan
    (infill,) = planned.infills[Level.TOP]
    assert (infill.start, infill.end, infill.join_end) == (250, 375, 375 + 62)


async def test_a_record_keeps_the_section_and_only_such_records_need_this_release(
    service: Service,
):
    parent = await sung(service, lyrics=TEXT)
    job = service.store.get((await accepted(service, **redo(parent, lyrics="la")))["id"])
    fields = job_to_fields(job)
    assert fields["format"] == "2"
    assert job_from_fields(fields) == replace(job, codes=None)
    plain = job_to_fields(service.store.get(parent["id"]))
    assert plain["format"] == "1"
    assert "section" not in plain


async def test_the_lyrics_of_the_section_take_the_place_of_those_that_fall_to_its_time(
    service: Service,
):
    parent = await sung(service, lyrics=TEXT)
    job = await accepted(service, **redo(parent, lyrics="[Verse]\nla la la"))
    assert job["input"]["lyrics"] == "la la la"
    assert job["lyrics_as_read"] == "one two three four\nla la la\nseven eight nine ten"
    assert (await service.client.get(job["urls"]["lyrics"])).json()["text"] == job["lyrics_as_read"]
    before, section, after = spans_of(service, job)
    assert (before.lyrics, after.lyrics) == (TEXT, TEXT)
    # What is read beside the section is as much as falls to the time beside it.
    assert section.lyrics.strip() == "two three four\nla la la\nseven eight nin"
    assert (section.position_sec, after.position_sec) == (4.0, 6.0)
    windows = (await service.client.get(job["urls"]["lyrics"])).json()["windows"]
    # Behind the section, where the join is looked for, the old words are read.
    assert ["la la la" in window["text"] for window in windows] == [True, True, False]
    assert windows[0]["text"] in job["lyrics_as_read"]
    found = await service.client.get("/jobs", params={"q": "la seven"})
    assert [each["id"] for each in found.json()["data"]] == [job["id"]]


async def test_without_lyrics_the_song_keeps_its_own_and_with_a_mark_nothing_is_sung(
    service: Service,
):
    parent = await sung(service, lyrics=TEXT)
    same = await accepted(service, **redo(parent))
    assert (same["lyrics_as_read"], same["input"]["lyrics"]) == (TEXT, "")
    assert spans_of(service, same) == ()
    for lyrics in ("[Instrumental]", " "):
        unsung = await accepted(service, **redo(parent, lyrics=lyrics))
        assert unsung["lyrics_as_read"] == "one two three four\nseven eight nine ten"
        assert spans_of(service, unsung)[1].lyrics == ""
        # The input can be sent again.
        again = await accepted(service, **unsung["input"])
        assert again["lyrics_as_read"] == unsung["lyrics_as_read"]
    again = await accepted(service, **same["input"])
    assert again["lyrics_as_read"] == TEXT


@pytest.mark.parametrize("lyrics", ["[Instrumental]", "  ", "[instrumental]\n"])
async def test_a_section_that_is_to_be_without_words_is_no_mistake(service: Service, lyrics: str):
    parent = await sung(service, lyrics=TEXT)
    assert (await accepted(service, **redo(parent, lyrics=lyrics)))["warnings"] == []
    emoji = await accepted(service, **redo(parent, lyrics="\N{UMBRELLA WITH RAIN DROPS}"))
    (warning,) = emoji["warnings"]
    assert "the song" not in warning["detail"], "around the section it is sung as before"


async def test_other_labels_hold_in_the_section_alone(service: Service):
    parent = await sung(service)
    job = await accepted(service, **redo(parent, genre="polka"))
    assert [span.genre for span in spans_of(service, job)] == ["drone", "polka", "drone"]
    service.worker.sing(job["id"])
    onward = await accepted(service, mode="continue", parent_id=job["id"], duration_seconds=2)
    assert onward["input"]["genre"] == "drone"
    genres = [span.genre for span in spans_of(service, onward)]
    assert genres == ["drone", "polka", "drone", "drone"]


async def test_the_song_that_is_gone_on_with_has_the_new_text(service: Service):
    parent = await sung(service, lyrics=TEXT)
    job = await accepted(service, **redo(parent, lyrics="la"))
    service.worker.sing(job["id"])
    onward = await accepted(service, mode="continue", parent_id=job["id"], duration_seconds=2)
    assert onward["lyrics_as_read"] == job["lyrics_as_read"]
    twice = await accepted(service, **redo(job, start_seconds=8.0, end_seconds=9.5, lyrics="lo"))
    assert twice["lyrics_as_read"].startswith("one two three four\nla\n")
    assert "\nlo" in twice["lyrics_as_read"]


async def test_a_splice_of_a_redone_song_has_the_words_of_the_section_alone(service: Service):
    parent = await sung(service, lyrics=TEXT)
    job = await accepted(service, **redo(parent, lyrics="la la la"))
    service.worker.sing(job["id"])
    parts = [
        {"source": job["id"], "start_seconds": 4.0, "end_seconds": 6.0},
        {"source": parent["id"]},
    ]
    spliced = await accepted(service, mode="splice", parts=parts)
    assert spliced["lyrics_as_read"] == f"la la la\n\n{TEXT}"


async def test_the_noise_is_that_of_the_song_as_it_was_sampled_first(service: Service):
    parent = await sung(service, seed=7, num_samples=3)
    one = await accepted(service, **redo(parent, sample=2, num_samples=2, seed=8))
    section = service.store.get(one["id"]).section
    assert section is not None
    assert (section.noise_seed, section.noise_samples) == (7, (2, 2))
    service.worker.sing(one["id"])
    two = await accepted(service, **redo(one, sample=1, seed=9))
    section = service.store.get(two["id"]).section
    assert section is not None
    assert (section.noise_seed, section.noise_samples) == (7, (2,))
    each = service.store.get((await accepted(service, **redo(parent)))["id"])
    assert each.section is not None
    assert each.section.noise_samples == (0, 1, 2)


async def test_uploaded_codes_are_redone_like_a_job(service: Service):
    asset = await sent(service, codes_file(top=500, levels=3), "a.safetensors")
    labels = {"model": "tiny", "artist": "The Sawtooths", "genre": "drone"}
    body = {"mode": "redo", "prompt": {"asset_id": asset["id"]}, **SECTION, "sample": 1}
    job = await accepted(service, **body, **labels, num_samples=2)
    assert [len(rows) for rows in prompt_codes(service, job).values()] == [1, 1, 1]
    section = service.store.get(job["id"]).section
    assert section is not None
    assert section.noise_seed is None


@pytest.mark.parametrize(
    ("pointer", "changes"),
    [
        ("/start_seconds", {"start_seconds": None}),
        ("/start_seconds", {"start_seconds": 10.0, "end_seconds": 11.0}),
        ("/end_seconds", {"end_seconds": 4.0}),
        ("/end_seconds", {"end_seconds": 3.0}),
        ("/end_seconds", {"end_seconds": 10.1}),
        ("/end_seconds", {"end_seconds": 4.004}),
        ("/end_seconds", {"end_seconds": "6"}),
        ("/duration_seconds", {"duration_seconds": 3}),
        ("/cut_seconds", {"cut_seconds": 3}),
        ("/sample", {"sample": 1}),
        ("/parent_id", {"parent_id": None}),
        ("/parent_id", {"parent_id": NOBODYS_JOB}),
        ("/prompt/asset_id", {"parent_id": None, "prompt": {"asset_id": NOBODYS_ASSET}}),
        ("/lyrics", {"lyrics": "x" * 19_990}),
    ],
)
async def test_what_cannot_be_redone_is_refused_by_field(
    service: Service, pointer: str, changes: dict[str, Any]
):
    parent = await sung(service, lyrics=TEXT)
    body = {name: value for name, value in redo(parent, **changes).items() if value is not None}
    await refused(service, pointer, **body)
