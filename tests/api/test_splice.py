"""A `splice`: exact codes, rounded times, lineage, labels; what cannot be joined is refused."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from jobs.record.codec import job_from_fields, job_to_fields
from tests.api.conftest import Service, assert_problem
from tests.api.sounds import codes_file, sent
from tests.api.test_modes import accepted, prompt_codes, refused, sung
from tests.fixtures.ids import NOBODYS_ASSET, NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

TOKEN_SEC = 256 / 16_000
PER_TOP = {"top": 1, "middle": 4, "bottom": 16}


def part(source: dict[str, Any], start: float | None = None, end: float | None = None, **more: Any):
    """A part between two top tokens."""
    moments = {"start_seconds": start, "end_seconds": end}
    moments = {name: token * TOKEN_SEC for name, token in moments.items() if token is not None}
    return {"source": source["id"], **moments, **more}


async def codes_of(service: Service, job: dict[str, Any]) -> dict[str, np.ndarray]:
    record = service.store.get(job["id"])
    return service.artifacts.read_all_codes(record.id, record.codes_name)


async def test_parts_are_joined_at_every_level_and_no_code_is_changed(service: Service):
    one, two = await sung(service), await sung(service, seed=8, num_samples=2, genre="polka")
    parts = [part(one, 0, 100), part(two, 50, 70, sample=1), part(one, 100), part(two, 0, 1)]
    job = await accepted(service, mode="splice", parts=parts)
    first, second = await codes_of(service, one), await codes_of(service, two)
    found = prompt_codes(service, job)
    assert list(found) == ["top", "middle", "bottom"]
    for level, ratio in PER_TOP.items():
        wanted = np.concatenate(
            [
                first[level][0, : 100 * ratio],
                second[level][1, 50 * ratio : 70 * ratio],
                first[level][0, 100 * ratio :],
                second[level][0, :ratio],
            ]
        )
        np.testing.assert_array_equal(found[level], wanted[None])
    assert job["duration_seconds"] == pytest.approx((625 + 21) * TOKEN_SEC)
    assert [each["tokens_done"] for each in job["progress"]["levels"]] == [646, 2584, 10_336]
    assert [each["windows_total"] for each in job["progress"]["levels"]] == [0, 0, 0]


async def test_the_answer_has_the_moments_as_they_were_moved(service: Service):
    one = await sung(service)
    parts = [part(one, 10.4, 20.6), part(one, 30.5, 39.4), {"source": one["id"]}]
    job = await accepted(service, mode="splice", parts=parts)
    times = [
        (each["start_seconds"], each["end_seconds"], each["position_seconds"])
        for each in job["parts"]
    ]
    tokens = [(10, 21, 0), (31, 39, 11), (0, 625, 19)]
    assert times == [tuple(pytest.approx(t * TOKEN_SEC) for t in each) for each in tokens]
    again = await accepted(service, **{**job["input"], "seed": 3})
    assert again["parts"] == job["parts"]
    np.testing.assert_array_equal(
        prompt_codes(service, again)["bottom"], prompt_codes(service, job)["bottom"]
    )


async def test_every_parent_is_named_and_lists_the_splice_among_its_children(service: Service):
    one, two, three = await sung(service), await sung(service), await sung(service)
    parts = [part(two, 0, 10), part(one, 0, 10), part(two, 10, 20), part(three)]
    job = await accepted(service, mode="splice", parts=parts)
    assert job["parent_ids"] == [two["id"], one["id"], three["id"]]
    assert (job["parent_id"], job["root_id"]) == (two["id"], two["id"])
    for parent in (one, two, three):
        listed = (await service.client.get(f"/jobs/{parent['id']}/children")).json()["data"]
        assert [child["id"] for child in listed] == [job["id"]]
    await service.client.post(job["urls"]["cancel"])
    await service.client.delete(job["urls"]["self"], params={"permanent": "true"})
    for parent in (one, two, three):
        assert not (await service.client.get(f"/jobs/{parent['id']}/children")).json()["data"]
    assert (one["parent_ids"], one["parts"]) == ([], None)


async def test_levels_that_a_part_lacks_are_drawn_only_where_they_are_asked_for(service: Service):
    song, draft = await sung(service), await sung(service, levels=["top"])
    parts = [part(song, 0, 200), part(draft, 100, 300)]
    job = await accepted(service, mode="splice", parts=parts)
    assert job["input"]["levels"] == ["top"]
    job = await accepted(
        service, mode="splice", parts=parts, levels=["top", "middle"], num_samples=2
    )
    assert list(prompt_codes(service, job)) == ["top"]
    assert [each["windows_total"] > 0 for each in job["progress"]["levels"]] == [False, True]
    job = await accepted(service, mode="splice", parts=[part(song, 0, 200)], levels=["top"])
    assert list(prompt_codes(service, job)) == ["top"]


async def test_each_part_is_sung_as_its_source_unless_something_else_is_said(service: Service):
    one = await sung(service, lyrics="first words", song_duration_seconds=40, offset_seconds=5)
    two = await sung(service, artist="Nobody", genre="polka", lyrics="second words")
    parts = [part(one, 100, 200), part(two, 0, 50), part(two, 50, 60, genre="drone", lyrics="la")]
    job = await accepted(service, mode="splice", parts=parts)
    spans = service.store.get(job["id"]).spans
    assert [(span.artist, span.genre, span.lyrics) for span in spans] == [
        ("The Sawtooths", "drone", "first words"),
        ("Nobody", "polka", "second words"),
        ("Nobody", "drone", "la"),
    ]
    tokens = [round(span.offset_sec / TOKEN_SEC, 6) for span in spans]
    assert tokens == [round(5 / TOKEN_SEC + 100, 6), -100, -150]
    assert [span.song_duration_sec for span in spans] == [40, 10, pytest.approx(10 * TOKEN_SEC)]
    assert job["input"]["artist"] == "The Sawtooths"
    assert job["input"]["lyrics"] == "first words\n\nsecond words\n\nla"
    assert [each["artist"] for each in job["parts"]] == ["The Sawtooths", "Nobody", "Nobody"]
    everywhere = await accepted(
        service, mode="splice", parts=parts, artist="Everybody", lyrics="one song"
    )
    spans = service.store.get(everywhere["id"]).spans
    assert [(span.artist, span.genre, span.lyrics) for span in spans] == [
        ("Everybody", "drone", "one song"),
        ("Everybody", "polka", "one song"),
        ("Everybody", "drone", "la"),
    ]
    assert [span.offset_sec for span in spans[:2]] == [0, 0]
    again = await accepted(service, **job["input"])
    assert service.store.get(again["id"]).spans == service.store.get(job["id"]).spans


async def test_a_record_of_a_splice_is_read_as_it_was_written(service: Service):
    ids = {"artist_id": {"v2": 3, "v3": 4}, "genre_ids": {"v2": [1, 2], "v3": [6]}}
    one = await sung(service, artist="", genre="", **ids)
    two = await sung(service)
    job = await accepted(service, mode="splice", parts=[part(one, 0, 9), part(two)])
    record = service.store.get(job["id"])
    assert job_from_fields(job_to_fields(record), {}) == record
    assert len(record.spans) == 2
    assert job_to_fields(record)["format"] == "2"
    assert job_to_fields(service.store.get(one["id"]))["format"] == "1"


async def test_a_splice_of_a_splice_keeps_what_each_stretch_was_sung_as(service: Service):
    one, two = await sung(service, lyrics="a"), await sung(service, lyrics="b", genre="polka")
    inner = await accepted(service, mode="splice", parts=[part(one, 0, 100), part(two, 300, 400)])
    service.worker.sing(inner["id"])
    outer = await accepted(service, mode="splice", parts=[part(inner, 50, 150), part(one, 0, 10)])
    spans = service.store.get(outer["id"]).spans
    assert [(round(s.position_sec / TOKEN_SEC), s.lyrics, s.genre) for s in spans] == [
        (0, "a", "drone"),
        (50, "b", "polka"),
        (100, "a", "drone"),
    ]
    assert [round(span.offset_sec / TOKEN_SEC) for span in spans] == [50, 250, -100]


async def test_a_song_goes_on_from_the_last_part_of_a_splice(service: Service):
    one = await sung(service, lyrics="a")
    two = await sung(service, lyrics="b", genre="polka", song_duration_seconds=12)
    spliced = await accepted(service, mode="splice", parts=[part(one, 0, 100), part(two, 300, 400)])
    service.worker.sing(spliced["id"])
    onward = {"mode": "continue", "parent_id": spliced["id"], "duration_seconds": 3}
    job = await accepted(service, **onward)
    record = service.store.get(job["id"])
    assert (job["input"]["genre"], job["input"]["lyrics"]) == ("polka", "b")
    assert [span.lyrics for span in record.spans] == ["a", "b"]
    assert [round(span.offset_sec / TOKEN_SEC) for span in record.spans] == [0, 200]
    assert record.spans[1].song_duration_sec == 12
    more = await accepted(service, **{**onward, "duration_seconds": 10})
    (_, _, added) = service.store.get(more["id"]).spans
    assert added.lyrics == "b"
    assert added.song_duration_sec == pytest.approx(200 * TOKEN_SEC + more["duration_seconds"])
    cut = await accepted(service, **onward, cut_seconds=100 * TOKEN_SEC)
    assert (cut["input"]["genre"], cut["input"]["lyrics"]) == ("drone", "a")
    assert (job["parent_ids"], job["parts"]) == ([spliced["id"]], None)


async def test_uploaded_codes_are_parts_with_labels_and_a_model(service: Service):
    content = save({"top": np.arange(200, dtype=np.int32)[None] % 7}, metadata={"model": "tiny"})
    asset = await sent(service, content, "codes.safetensors")
    one = await sung(service, levels=["top"])
    body = {"mode": "splice", "parts": [part(asset, 10, 20), part(one, 0, 10)]}
    await refused(service, "/parts/0/artist", **body)
    await refused(service, "/parts/0/genre", **body, artist="x")
    job = await accepted(service, **body, artist="x", genre="drone")
    assert prompt_codes(service, job)["top"][0, :10].tolist() == [(n + 10) % 7 for n in range(10)]
    assert (job["parent_id"], job["parent_ids"]) == (one["id"], [one["id"]])
    alone = await accepted(service, mode="splice", parts=[part(asset, artist="x", genre="drone")])
    assert (alone["parent_id"], alone["parent_ids"]) == (None, [])
    assert alone["root_id"] == alone["id"]
    nameless = await sent(service, codes_file(top=50), "codes.safetensors")
    labels = {"artist": "", "genre": ""}
    await refused(service, "/model", mode="splice", parts=[part(nameless)], **labels)
    await accepted(service, mode="splice", parts=[part(nameless)], model="tiny", **labels)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"parts": []}, "/parts"),
        ({"parts": None}, "/parts"),
        ({"parts": [{"source": "x"}]}, "/parts/0/source"),
        ({"parts": [{"source": NOBODYS_JOB}]}, "/parts/0/source"),
        ({"parts": [{"source": NOBODYS_ASSET}]}, "/parts/0/source"),
        ({"parts": [{}]}, "/parts/0/source"),
        ({"parts": "GOOD GOOD"}, "/parts"),
        ({"parts": [{"sample": 1}]}, "/parts/0/sample"),
        ({"parts": [{"sample": 99}]}, "/parts/0/sample"),
        ({"parts": [{"start_seconds": 10}]}, "/parts/0/start_seconds"),
        ({"parts": [{}, {"end_seconds": 10.1}]}, "/parts/1/end_seconds"),
        ({"parts": [{"start_seconds": 5, "end_seconds": 5}]}, "/parts/0/end_seconds"),
        ({"parts": [{"start_seconds": 5, "end_seconds": 1}]}, "/parts/0/end_seconds"),
        ({"parts": [{"speed": 2}]}, "/parts/0/speed"),
        ({"parts": [{}] * 65}, "/parts"),
        ({"parts": [{}] * 64}, "/parts"),
        ({"parts": [{"lyrics": "x" * 15_000}] * 2}, "/parts"),
        ({"num_samples": 2}, "/num_samples"),
        ({"model": "other"}, "/parts/0/source"),
        ({"duration_seconds": 3}, "/duration_seconds"),
        ({"parent_id": NOBODYS_JOB}, "/parent_id"),
        ({"mend_seconds": -1}, "/mend_seconds"),
        ({"mend_seconds": 11}, "/mend_seconds"),
    ],
    ids=str,
)
async def test_a_splice_that_cannot_be_is_refused_and_leaves_nothing(
    service: Service, changes, pointer
):
    one = await sung(service)
    body = {"parts": [{}], **changes}
    if (isinstance(body["parts"], list) and pointer != "/parts/0/source") or "model" in changes:
        body["parts"] = [{"source": one["id"], **each} for each in body["parts"]]
    await refused(service, pointer, mode="splice", **body)


async def test_the_length_of_a_song_is_an_end_for_every_edit(service: Service):
    """A song of 10.01 s has 10 s of codes; what the answer calls its length is in it."""
    one = await sung(service, duration_seconds=10.01)
    assert one["duration_seconds"] == 10.01
    spliced = await accepted(
        service, mode="splice", parts=[{"source": one["id"], "end_seconds": 10.01}]
    )
    assert spliced["parts"][0]["end_seconds"] == 10.0
    redone = {"mode": "redo", "parent_id": one["id"], "start_seconds": 9}
    assert (await accepted(service, **redone, end_seconds=10.01))["section"]["end_seconds"] == 10.0
    longer = {"mode": "continue", "parent_id": one["id"], "duration_seconds": 1}
    whole = await accepted(service, **longer)
    cut = await accepted(service, **longer, cut_seconds=10.01)
    assert cut["progress"]["levels"] == whole["progress"]["levels"]
    sentence = await refused(service, "/cut_seconds", **longer, cut_seconds=10.1)
    assert "cut_seconds=10.1" in sentence, "its name here, not that of the library"


async def test_a_mistake_in_a_part_is_the_only_one_that_is_told(service: Service):
    one = await sung(service)
    for wrong, pointer in (
        ({"end_seconds": 0}, "end_seconds"),
        ({"artist_id": 10**9}, "artist_id"),
        ({"genre_ids": []}, "genre_ids"),
        ({"tempo": 1}, "tempo"),
    ):
        parts = [{"source": one["id"], **wrong}]
        await refused(service, f"/parts/0/{pointer}", mode="splice", parts=parts)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"artist_id": 9999}, "artist_id"),
        ({"genre_ids": [9999]}, "genre_ids"),
        ({"artist_id": {"v3": 9999}}, "artist_id"),
        ({"artist": "the sawtooths", "artist_id": 1}, "artist"),
        ({"genre": "drone", "genre_ids": [1]}, "genre"),
    ],
    ids=str,
)
async def test_labels_that_the_model_does_not_have_are_refused_in_every_part(
    service: Service, wrong: dict[str, Any], field: str
):
    """Nothing may be sung as them now, but whatever goes on from the song would be."""
    one = await sung(service)
    parts = [part(one, 0, 10), part(one, 10, 20, **wrong)]
    await refused(service, f"/parts/1/{field}", mode="splice", parts=parts)


async def test_what_a_part_may_not_have_meant_is_told_of_that_part(service: Service):
    one = await sung(service)
    parts = [
        part(one, 0, 100, artist="the sawtooth", lyrics="[Verse] one"),
        part(one, 0, 100, artist="the sawtooth"),
        part(one, 0, 100, lyrics="\N{UMBRELLA WITH RAIN DROPS}"),
    ]
    job = await accepted(service, mode="splice", parts=parts)
    assert [(each["code"], each["pointer"]) for each in job["warnings"]] == [
        ("lyrics_marks_removed", "/parts/0/lyrics"),
        ("artist_unknown", "/parts/0/artist"),
        ("lyrics_not_singable", "/parts/2/lyrics"),
    ]


async def test_a_source_that_still_runs_is_no_part(service: Service):
    waiting = await service.post()
    sentence = await refused(service, "/parts/0/source", mode="splice", parts=[part(waiting)])
    assert "queued" in sentence


async def test_parts_of_different_models_are_refused_by_name(service: Service):
    content = save({"top": np.zeros((1, 99), np.int32)}, metadata={"model": "another"})
    asset = await sent(service, content, "codes.safetensors")
    one = await sung(service, levels=["top"])
    parts = [part(one), part(asset, artist="", genre="")]
    sentence = await refused(service, "/parts/1/source", mode="splice", parts=parts)
    assert "another" in sentence
    assert "tiny" in sentence


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "prepend", "parent_id": NOBODYS_JOB, "duration_seconds": 3},
        {"mode": "extend_backwards"},
        {"mode": "Extend-Backwards"},
        {"mode": "extend_left"},
        {"mode": "continue", "parent_id": NOBODYS_JOB, "duration_seconds": -3},
        {"mode": "continue", "parent_id": NOBODYS_JOB, "duration_seconds": 3, "offset_seconds": -3},
        {"mode": "upsample", "parent_id": NOBODYS_JOB, "offset_seconds": -0.5},
        {"mode": "redo", "parent_id": NOBODYS_JOB, "start_seconds": -1, "end_seconds": 2},
        {"mode": "splice", "parts": [{"source": NOBODYS_JOB, "start_seconds": -2}]},
    ],
    ids=str,
)
async def test_a_song_that_is_to_grow_backwards_is_told_why_it_cannot(service: Service, body):
    response = await service.client.post("/jobs", json=body)
    problem = assert_problem(response, 422, "cannot_extend_backwards")
    assert "splice" in problem["detail"]
    pointer = problem["errors"][0]["pointer"].rpartition("/")[2]
    assert pointer in ("mode", "duration_seconds", "offset_seconds", "start_seconds")
    assert not [name for name in service.left_behind() if "job_" in name]


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "backmasked"},
        {"model": "tiny", "artist": "", "genre": "", "duration_seconds": -3},
        {"mode": "continue", "parent_id": NOBODYS_JOB, "duration_seconds": 0},
    ],
    ids=str,
)
async def test_other_mistakes_are_not_taken_for_it(service: Service, body):
    assert_problem(await service.client.post("/jobs", json=body), 422, "invalid_request")


async def test_joins_are_mended_below_the_top_alone_and_the_record_says_where(service: Service):
    one, two = await sung(service), await sung(service)
    parts = [part(one, 0, 200), part(one, 200, 250), part(two, 300, 400)]
    body = {"mode": "splice", "parts": parts, "mend_seconds": 10 * TOKEN_SEC}
    job = await accepted(service, **body, num_samples=2)
    plan = service.store.get(job["id"]).plan
    assert plan["top"].infills == ()
    ((start, end, join_end),) = plan["middle"].infills
    assert (start, end) == (240 * 4, 260 * 4)
    assert join_end > end
    ((bottom_start, bottom_end, _),) = plan["bottom"].infills
    assert (bottom_start, bottom_end) == (start * 4, join_end * 4)
    assert plan["middle"].prompt_tokens == 350 * 4 - (join_end - start)
    assert prompt_codes(service, job)["middle"].shape == (1, 350 * 4)
    draft = await accepted(service, **body, levels=["top"])
    assert service.store.get(draft["id"]).plan["top"].windows_total == 0
