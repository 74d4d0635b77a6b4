"""Songs that begin with something: each job has what it needs, and the rest is refused by field."""

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save

from jobs.errors import StoreUnavailable
from jobs.record.job import Stage, new_job_id
from tests.api.conftest import Service, assert_problem, song
from tests.api.sounds import codes_file, encoded, sent, tone
from tests.fixtures.ids import NOBODYS_ASSET, NOBODYS_JOB

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

TOP_TOKEN_SEC = 256 / 16_000


async def accepted(service: Service, **body: Any) -> dict[str, Any]:
    response = await service.client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


async def refused(service: Service, pointer: str, **body: Any) -> str:
    """Posts what must be refused at `pointer`, and looks that it changed nothing."""
    before = sorted(service.left_behind())
    response = await service.client.post("/jobs", json=body)
    problem = assert_problem(response, 422, "invalid_request")
    assert pointer in [error["pointer"] for error in problem["errors"]], problem["errors"]
    assert sorted(service.left_behind()) == before
    return " ".join(error["detail"] for error in problem["errors"])


async def draft(service: Service, **changes: Any) -> dict[str, Any]:
    """A finished draft of two takes, 10 s of the top level alone."""
    job = await service.post(levels=["top"], num_samples=2, **changes)
    service.worker.sing(job["id"])
    return job


async def sung(service: Service, **changes: Any) -> dict[str, Any]:
    job = await service.post(**changes)
    service.worker.sing(job["id"])
    return job


def prompt_codes(service: Service, job: dict[str, Any]) -> dict[str, np.ndarray]:
    record = service.store.get(job["id"])
    assert record.prompt_codes_name is not None
    return service.artifacts.read_all_codes(record.id, record.prompt_codes_name)


def tokens(job: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {
        level["level"]: (level["tokens_done"], level["tokens_total"])
        for level in job["progress"]["levels"]
    }


# --- primed


def primed(asset: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return song(mode="primed", prompt={"asset_id": asset["id"]}, **changes)


async def test_a_primed_job_has_its_prompt_at_the_models_rate(service: Service):
    asset = await sent(service, encoded(tone(3.0, channels=2), "flac"), "a.flac")
    prompt = {"asset_id": asset["id"], "start_seconds": 0.5, "seconds": 2}
    job = await accepted(service, **song(mode="primed", prompt=prompt))
    record = service.store.get(job["id"])
    assert record.prompt_audio_name is not None
    sound, rate_hz = soundfile.read(service.artifacts.path(record.id, record.prompt_audio_name))
    assert (sound.shape, rate_hz) == ((32_000,), 16_000)
    assert record.prompt_codes_name is None
    assert record.plan["top"].prompt_tokens == 125
    assert tokens(job) == {"top": (125, 625), "middle": (500, 2500), "bottom": (2000, 10_000)}
    assert job["duration_seconds"] == 10
    assert job["input"]["mode"] == "primed"
    assert job["input"]["prompt"] == prompt
    assert (job["parent_id"], job["root_id"]) == (None, job["id"])


async def test_the_prompt_outlives_its_asset(service: Service):
    asset = await sent(service, encoded(tone()))
    job = await accepted(service, **primed(asset))
    await service.client.delete(asset["urls"]["self"])
    assert service.artifacts.path(job["id"], "prompt.wav").stat().st_size > 90_000


async def test_the_prompt_is_gone_with_its_job(service: Service):
    asset = await sent(service, encoded(tone()))
    job = await accepted(service, **primed(asset))
    await service.client.post(job["urls"]["cancel"])
    await service.client.delete(job["urls"]["self"], params={"permanent": "true"})
    await service.client.delete(asset["urls"]["self"])
    assert not [name for name in service.left_behind() if "job_" in name or "asset" in name]


async def test_a_prompt_without_length_reaches_the_end_of_the_sound(service: Service):
    asset = await sent(service, encoded(tone(3.0)))
    prompt = {"asset_id": asset["id"], "start_seconds": 1.0}
    job = await accepted(service, **song(mode="primed", prompt=prompt, levels=["top"]))
    assert tokens(job) == {"top": (125, 625)}


@pytest.mark.parametrize(
    ("prompt", "pointer"),
    [
        ({"start_seconds": 3.0}, "/prompt/start_seconds"),
        ({"start_seconds": 300}, "/prompt/start_seconds"),
        ({"start_seconds": -1}, "/prompt/start_seconds"),
        ({"start_seconds": "1"}, "/prompt/start_seconds"),
        ({"start_seconds": 2.0, "seconds": 1.1}, "/prompt/seconds"),
        ({"seconds": 0}, "/prompt/seconds"),
        ({"seconds": 0.01}, "/prompt"),
        ({"seconds": float("inf")}, "/prompt/seconds"),
        ({"end_seconds": 2}, "/prompt/end_seconds"),
        ({"asset_id": NOBODYS_ASSET}, "/prompt/asset_id"),
        ({"asset_id": "../x"}, "/prompt/asset_id"),
        ({"asset_id": None}, "/prompt/asset_id"),
    ],
    ids=str,
)
async def test_a_prompt_that_is_not_there_is_refused(service: Service, prompt, pointer):
    asset = await sent(service, encoded(tone(3.0)))
    body = json.dumps(song(mode="primed", prompt={"asset_id": asset["id"], **prompt}))
    before = sorted(service.left_behind())
    headers = {"content-type": "application/json"}
    response = await service.client.post("/jobs", content=body, headers=headers)
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == pointer
    assert sorted(service.left_behind()) == before


async def test_a_silent_part_of_a_sound_is_no_prompt(service: Service):
    asset = await sent(service, encoded(np.concatenate([tone(2.0) * 0.0, tone(1.0)])))
    prompt = {"asset_id": asset["id"], "seconds": 1.5}
    said = await refused(service, "/prompt", **song(mode="primed", prompt=prompt))
    assert "silent" in said


async def test_a_prompt_must_leave_something_to_draw(service: Service):
    asset = await sent(service, encoded(tone(3.0)))
    said = await refused(service, "/duration_seconds", **primed(asset, duration_seconds=3))
    assert "whole length" in said


async def test_a_primed_song_may_be_short(service: Service):
    """The levels above draw more than is heard, to fill the contexts below."""
    asset = await sent(service, encoded(tone(0.5)))
    job = await accepted(service, **primed(asset, duration_seconds=0.6))
    plan = service.store.get(job["id"]).plan
    assert plan["bottom"].output_tokens == plan["bottom"].tokens_total == 592
    assert plan["top"].output_tokens == 37 < plan["top"].tokens_total


async def test_codes_are_no_recording_and_a_recording_no_codes(service: Service):
    codes = await sent(service, codes_file(), "a.safetensors")
    sound = await sent(service, encoded(tone()))
    said = await refused(service, "/prompt/asset_id", **primed(codes))
    assert "is codes" in said
    for mode in ({"mode": "continue", "duration_seconds": 1}, {"mode": "upsample"}):
        body = song(duration_seconds=None, prompt={"asset_id": sound["id"]}) | mode
        assert "is audio" in await refused(service, "/prompt/asset_id", **body)


# --- continue


async def test_a_song_goes_on_for_so_much_more(service: Service):
    parent = await sung(service)
    job = await accepted(service, mode="continue", parent_id=parent["id"], duration_seconds=4)
    assert tokens(job) == {"top": (625, 875), "middle": (2500, 3500), "bottom": (10_000, 14_000)}
    assert job["duration_seconds"] == 14
    assert (job["parent_id"], job["root_id"]) == (parent["id"], parent["id"])
    wanted = job["input"]
    for name in ("model", "artist", "genre", "lyrics", "sampling", "levels"):
        assert wanted[name] == parent["input"][name]
    assert wanted["duration_seconds"] == 4
    assert wanted["song_duration_seconds"] == 14
    kept = prompt_codes(service, job)
    assert {level: codes.shape for level, codes in kept.items()} == {
        "top": (1, 625),
        "middle": (1, 2500),
        "bottom": (1, 10_000),
    }


async def test_what_is_given_anew_replaces_the_parents(service: Service):
    parent = await sung(service, song_duration_seconds=60)
    job = await accepted(
        service,
        mode="continue",
        parent_id=parent["id"],
        duration_seconds=4,
        artist="Null Island Choir",
        lyrics="other words",
        seed=3,
        sampling={"top": {"temperature": 0.5}},
    )
    assert job["input"]["artist"] == "Null Island Choir"
    assert job["input"]["genre"] == "drone"
    assert job["input"]["lyrics"] == "other words"
    assert job["input"]["sampling"]["top"]["temperature"] == 0.5
    assert job["input"]["song_duration_seconds"] == 60
    assert job["seed"] == 3
    assert job["labels"]["top"]["artist"]["name"] == "Null Island Choir"


async def test_a_song_goes_on_from_a_cut_at_the_levels_that_are_asked_for(service: Service):
    parent = await sung(service)
    body = {"mode": "continue", "parent_id": parent["id"], "cut_seconds": 5.0}
    job = await accepted(service, **body, duration_seconds=2, levels=["top"])
    assert tokens(job) == {"top": (312, 312 + 125)}
    assert list(prompt_codes(service, job)) == ["top"]
    job = await accepted(service, **body, duration_seconds=2)
    assert tokens(job)["bottom"] == (312 * 16, (312 + 125) * 16)


async def test_several_continuations_of_one_take_can_be_tried(service: Service):
    parent = await draft(service)
    body = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1}
    job = await accepted(service, **body, sample=1, num_samples=3)
    codes = service.artifacts.read_all_codes(
        parent["id"], service.store.get(parent["id"]).codes_name or ""
    )
    np.testing.assert_array_equal(prompt_codes(service, job)["top"], codes["top"][1:])
    assert service.store.get(job["id"]).parent_sample == 1
    assert job["input"]["num_samples"] == 3
    every = await accepted(service, **body)
    assert every["input"]["num_samples"] == 2
    np.testing.assert_array_equal(prompt_codes(service, every)["top"], codes["top"])


async def test_composing_step_by_step_makes_a_tree(service: Service):
    first = await draft(service)
    step = {"mode": "continue", "duration_seconds": 1, "sample": 0}
    second = await accepted(service, parent_id=first["id"], **step)
    other = await accepted(service, parent_id=first["id"], **step)
    service.worker.sing(second["id"])
    third = await accepted(service, parent_id=second["id"], **step)
    assert tokens(third) == {"top": (687, 749)}
    assert (third["parent_id"], third["root_id"]) == (second["id"], first["id"])

    async def ids(path: str, **params: Any) -> list[str]:
        response = await service.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["data"]]

    assert await ids(first["urls"]["children"]) == [other["id"], second["id"]]
    assert await ids(first["urls"]["children"], limit=1) == [other["id"]]
    assert await ids(third["urls"]["children"]) == []
    tree = [third["id"], other["id"], second["id"], first["id"]]
    assert await ids("/jobs", root=first["id"]) == tree
    assert await ids("/jobs", root=first["id"], status="queued") == [tree[0], tree[1]]
    assert await ids("/jobs", root=first["id"], status="queued", model="none") == []
    assert await ids("/jobs", root=new_job_id()) == []
    np.testing.assert_array_equal(
        prompt_codes(service, third)["top"][:, :625],
        prompt_codes(service, second)["top"],
    )


async def test_children_are_refused_what_lists_are_refused(service: Service):
    job = await service.post()
    for params in ({"limit": 0}, {"cursor": "x"}, {"status": "queued"}):
        response = await service.client.get(job["urls"]["children"], params=params)
        assert_problem(response, 422, "invalid_request")
    response = await service.client.get("/jobs", params={"root": "x"})
    assert_problem(response, 422, "invalid_request")
    missing = await service.client.get(f"/jobs/{new_job_id()}/children")
    assert_problem(missing, 404, "job_not_found")


async def test_a_job_outlives_its_parent(service: Service):
    parent = await draft(service)
    job = await accepted(service, mode="upsample", parent_id=parent["id"], sample=0)
    await service.client.delete(parent["urls"]["self"], params={"permanent": "true"})
    assert prompt_codes(service, job)["top"].shape == (1, 625)
    assert (await service.client.get(job["urls"]["self"])).json()["parent_id"] == parent["id"]


async def test_a_song_that_was_stopped_goes_on_from_what_was_drawn(service: Service):
    parent = await service.post()
    service.worker.finish_level(service.worker.claim(parent["id"]))
    claim = service.worker.claim(parent["id"], Stage.MIDDLE)
    codes = np.full((1, 800), 5)
    window = service.artifacts.write_codes(
        parent["id"], fence=claim.fence, level="middle", start=0, codes=codes
    )
    service.store.record_window(claim, window)
    await service.client.post(parent["urls"]["cancel"])
    service.store.cancel(claim)
    job = await accepted(service, mode="upsample", parent_id=parent["id"])
    assert tokens(job) == {"top": (625, 625), "middle": (800, 2500), "bottom": (0, 10_000)}
    job = await accepted(service, mode="continue", parent_id=parent["id"], duration_seconds=1)
    assert tokens(job) == {"top": (625, 687), "middle": (800, 2748), "bottom": (0, 10_992)}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"cut_seconds": 10.1}, "/cut_seconds"),
        ({"cut_seconds": 600}, "/cut_seconds"),
        ({"cut_seconds": 0.01}, "/cut_seconds"),
        ({"cut_seconds": 0}, "/cut_seconds"),
        ({"sample": 2}, "/sample"),
        ({"sample": 16}, "/sample"),
        ({"sample": -1}, "/sample"),
        ({"num_samples": 3}, "/num_samples"),
        ({"num_samples": 1}, "/num_samples"),
        ({"duration_seconds": None}, "/duration_seconds"),
        ({"duration_seconds": 0.001}, "/duration_seconds"),
        ({"duration_seconds": 595}, "/duration_seconds"),
        ({"song_duration_seconds": 10}, "/song_duration_seconds"),
        ({"model": "mega"}, "/model"),
        ({"parent_id": "job_1"}, "/parent_id"),
        ({"parent_id": NOBODYS_JOB}, "/parent_id"),
        ({"parent_id": None}, "/parent_id"),
        ({"prompt": {"asset_id": NOBODYS_ASSET}}, "/parent_id"),
        ({"prompt": {"asset_id": NOBODYS_ASSET, "seconds": 1}}, "/prompt/seconds"),
        ({"levels": ["middle"]}, "/levels"),
        ({"artist": "x", "artist_id": 1}, "/artist"),
        ({"artist_id": 1}, "/artist_id"),
        ({"artist_id": {"v3": 99}}, "/artist_id"),
        ({"genre_ids": {"v2": [1, 2, 3, 4, 5, 6]}}, "/genre_ids"),
        ({"genre_ids": {"v9": [1]}}, "/genre_ids"),
        ({"genre_ids": []}, "/genre_ids"),
        ({"parent": "x"}, "/parent"),
        ({"mode": "remix"}, "/mode"),
        ({"mode": None}, "/parent_id"),
        ({"mode": ["continue"]}, "/mode"),
    ],
    ids=str,
)
async def test_a_wrong_continuation_is_refused_by_field(service: Service, changes, pointer):
    parent = await draft(service)
    body = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1, **changes}
    await refused(service, pointer, **body)


async def test_a_parent_without_codes_or_still_running_is_refused(service: Service):
    step = {"mode": "continue", "duration_seconds": 1}
    waiting = await service.post()
    assert "queued" in await refused(service, "/parent_id", parent_id=waiting["id"], **step)
    claim = service.worker.claim(waiting["id"])
    assert "running" in await refused(service, "/parent_id", parent_id=waiting["id"], **step)
    service.store.release(claim)
    await service.client.post(waiting["urls"]["cancel"])
    said = await refused(service, "/parent_id", parent_id=waiting["id"], **step)
    assert "no codes of the top level" in said


# --- upsample


async def test_a_draft_is_refined_with_other_labels(service: Service):
    parent = await draft(service)
    job = await accepted(
        service, mode="upsample", parent_id=parent["id"], sample=1, genre="polka", num_samples=2
    )
    assert tokens(job) == {"top": (625, 625), "middle": (0, 2500), "bottom": (0, 10_000)}
    assert job["duration_seconds"] == 10
    assert job["input"]["duration_seconds"] is None
    assert job["input"]["genre"] == "polka"
    assert job["input"]["levels"] == ["top", "middle", "bottom"]


async def test_a_short_draft_is_refined_behind_a_lead_out(service: Service):
    parent = await draft(service)
    job = await accepted(
        service, mode="upsample", parent_id=parent["id"], sample=0, cut_seconds=0.5
    )
    plan = service.store.get(job["id"]).plan
    assert plan["top"].prompt_tokens == plan["top"].output_tokens == 31 < plan["top"].tokens_total


async def test_a_draft_can_be_refined_by_one_level(service: Service):
    parent = await draft(service)
    body = {"mode": "upsample", "parent_id": parent["id"], "sample": 0}
    job = await accepted(service, **body, levels=["top", "middle"])
    assert tokens(job) == {"top": (625, 625), "middle": (0, 2500)}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"duration_seconds": 10}, "/duration_seconds"),
        ({"levels": ["top"]}, "/levels"),
        ({"cut_seconds": 11}, "/cut_seconds"),
        ({"sample": 5}, "/sample"),
        ({"parent_id": None}, "/parent_id"),
        ({"offset_seconds": 595}, "/cut_seconds"),
    ],
    ids=str,
)
async def test_a_wrong_refinement_is_refused_by_field(service: Service, changes, pointer):
    parent = await draft(service)
    body = {"mode": "upsample", "parent_id": parent["id"], "cut_seconds": 9, **changes}
    await refused(service, pointer, **body)


async def test_a_finished_song_has_nothing_to_refine(service: Service):
    parent = await sung(service)
    said = await refused(service, "/levels", mode="upsample", parent_id=parent["id"])
    assert "nothing to generate" in said


# --- codes that were sent


async def test_sent_codes_stand_in_for_a_parent(service: Service):
    asset = await sent(service, codes_file(2, 300, levels=2), "a.safetensors")
    body = song(duration_seconds=None, prompt={"asset_id": asset["id"]})
    job = await accepted(service, **body | {"mode": "upsample", "sample": 1})
    await service.client.delete(asset["urls"]["self"])
    assert tokens(job) == {"top": (300, 300), "middle": (1200, 1200), "bottom": (0, 4800)}
    assert (job["parent_id"], job["root_id"]) == (None, job["id"])
    assert prompt_codes(service, job)["middle"].shape == (1, 1200)
    asset = await sent(service, codes_file(1, 100), "a.safetensors")
    prompt = {"prompt": {"asset_id": asset["id"]}}
    job = await accepted(service, **song(mode="continue", duration_seconds=2, **prompt))
    assert tokens(job) == {"top": (100, 225)}


async def test_sent_codes_need_a_model_and_labels(service: Service):
    asset = await sent(service, codes_file(1), "a.safetensors")
    prompt = {"asset_id": asset["id"]}
    for name in ("model", "artist", "genre"):
        body = song(mode="upsample", duration_seconds=None, prompt=prompt, **{name: None})
        assert "required" in await refused(service, f"/{name}", **body)


async def test_sent_codes_of_another_model_are_refused(service: Service):
    upsample = {"mode": "upsample", "duration_seconds": None}
    asset = await sent(service, codes_file(1, metadata={"model": "mega"}), "a.safetensors")
    body = song(prompt={"asset_id": asset["id"]}, **upsample)
    assert "mega" in await refused(service, "/model", **body)
    asset = await sent(service, save({"top": np.full((1, 300), 256)}), "a.safetensors")
    body = song(prompt={"asset_id": asset["id"]}, **upsample)
    assert "256" in await refused(service, "/prompt/asset_id", **body)


# --- every mode


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"prompt": {"asset_id": NOBODYS_ASSET}}, "/prompt"),
        ({"parent_id": NOBODYS_JOB}, "/parent_id"),
        ({"sample": 0}, "/sample"),
        ({"cut_seconds": 1}, "/cut_seconds"),
        ({"duration_seconds": None}, "/duration_seconds"),
        ({"artist_id": 3}, "/artist"),
        ({"artist": None, "artist_id": 3}, "/artist_id"),
        ({"artist": None, "artist_id": {"v1": 3}}, "/artist_id"),
        ({"artist": None, "artist_id": "3"}, "/artist_id"),
        ({"artist": None, "artist_id": {"v2": 900, "v3": 1}}, "/artist_id"),
        ({"genre": None, "genre_ids": {"v3": [1, 2]}}, "/genre_ids"),
        ({"genre": None, "genre_ids": 3}, "/genre_ids"),
        ({"mode": "primed"}, "/prompt"),
        ({"mode": "primed", "parent_id": NOBODYS_JOB}, "/parent_id"),
        ({"mode": "Ancestral"}, "/mode"),
    ],
    ids=str,
)
async def test_what_a_mode_does_not_use_or_lacks_is_refused(service: Service, changes, pointer):
    await refused(service, pointer, **song(**changes))
    assert service.left_behind() == []


async def test_raw_ids_stand_in_for_names(service: Service):
    body = song(artist=None, genre=None, artist_id={"v2": 2, "v3": 2}, genre_ids={"v2": [1, 3]})
    job = await accepted(service, **body)
    assert job["labels"]["top"]["artist"]["id"] == 2
    assert [genre["id"] for genre in job["labels"]["bottom"]["genres"]] == [1, 3]
    assert job["input"]["artist"] == ""


async def test_raw_ids_pass_on_to_a_child_unless_it_has_a_name(service: Service):
    parent = await draft(service, artist=None, artist_id={"v2": 2, "v3": 2})
    step = {"mode": "continue", "parent_id": parent["id"], "duration_seconds": 1, "sample": 0}
    job = await accepted(service, **step)
    assert job["labels"]["top"]["artist"]["id"] == 2
    job = await accepted(service, **step, artist="the sawtooths")
    assert job["input"]["artist_id"] is None
    assert job["labels"]["top"]["artist"]["name"] == "the sawtooths"


async def test_the_input_of_any_job_can_be_sent_again(service: Service):
    asset = await sent(service, encoded(tone()))
    parent = await draft(service)
    jobs = [
        parent,
        await accepted(service, **primed(asset)),
        await accepted(service, mode="continue", parent_id=parent["id"], duration_seconds=1),
        await accepted(service, mode="upsample", parent_id=parent["id"], sample=0),
        await accepted(service, **song(artist=None, artist_id={"v2": 1, "v3": 1})),
    ]
    for job in jobs:
        again = await accepted(service, **job["input"])
        assert again["input"] == job["input"]
        assert again["progress"]["levels"] == job["progress"]["levels"] or job is parent


async def test_a_store_that_is_away_leaves_no_prompt_behind(service: Service, monkeypatch):
    asset = await sent(service, encoded(tone()))
    before = service.left_behind()

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(service.store, "create", away)
    response = await service.client.post("/jobs", json=primed(asset))
    assert_problem(response, 503, "store_unavailable")
    assert service.left_behind() == before


async def test_the_sound_of_a_job_can_prime_another(service: Service):
    parent = await sung(service)
    sound = await service.client.get(parent["urls"]["audio"], params={"format": "flac"})
    asset = await sent(service, sound.content, "a.flac")
    job = await accepted(service, **primed(asset, duration_seconds=12))
    assert tokens(job)["top"] == (625, 750)
    assert soundfile.info(io.BytesIO(sound.content)).frames == 160_000
