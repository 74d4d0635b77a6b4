"""Models that are there, on their way or absent, and the names that they know."""

import os
import shutil

import pytest

from jukebox_core.models.pull_lock import pulling_place
from tests.api.conftest import Service, assert_problem, serving, song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def test_every_model_tells_its_state_and_the_ready_come_first(clean_redis_url, tmp_path):
    models = tmp_path / "models"
    with pulling_place(models, "1b_lyrics"):
        async with serving(clean_redis_url, models, tmp_path / "data") as service:
            listed = (await service.client.get("/models")).json()["data"]
    assert {model["name"]: model["state"] for model in listed} == {
        "5b": "absent",
        "5b_lyrics": "absent",
        "1b_lyrics": "pulling",
    }
    top = listed[1]
    assert (top["sample_rate_hz"], top["reads_lyrics"]) == (44_100, True)
    assert top["bytes"] > 19e9
    assert "Noncommercial" in top["licence"]
    assert top["limits"]["max_song_duration_seconds"] == 600.0


async def test_ready_models_come_before_those_that_could_be_fetched(service: Service):
    listed = (await service.client.get("/models")).json()["data"]
    states = [model["state"] for model in listed]
    assert (listed[0]["name"], states[0]) == ("tiny", "ready")
    assert states == sorted(states, key=lambda state: state != "ready")


async def test_a_song_by_an_absent_model_is_refused_and_says_how_to_get_it(service: Service):
    response = await service.client.post("/jobs", json=song(model="5b_lyrics"))
    problem = assert_problem(response, 422, "invalid_request")
    assert "jukebox models pull 5b_lyrics" in problem["errors"][0]["detail"]


async def test_a_misspelt_artist_finds_itself_and_can_be_sung(service: Service):
    response = await service.client.get("/models/tiny/artists", params={"q": "the sawtoths"})
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "list"
    best = body["data"][0]
    assert best["name"] == "the sawtooths"
    assert 0.5 < best["score"] < 1.0
    job = await service.post(artist=best["name"])
    for level, ids in best["ids"].items():
        assert [job["labels"][level]["artist"]["id"]] == ids


async def test_genres_are_found_and_resolved_alike(service: Service):
    params = {"q": "dron", "limit": 1}
    (best,) = (await service.client.get("/models/tiny/genres", params=params)).json()["data"]
    job = await service.post(genre=best["name"])
    for level, ids in best["ids"].items():
        assert [genre["id"] for genre in job["labels"][level]["genres"]] == ids


async def test_without_a_text_the_first_names_are_listed(service: Service):
    names = (await service.client.get("/models/tiny/artists", params={"limit": 3})).json()["data"]
    found = [name["name"] for name in names]
    assert len(found) == 3
    assert found == sorted(found)
    assert {name["score"] for name in names} == {1.0}


async def test_nothing_alike_is_an_empty_list(service: Service):
    response = await service.client.get("/models/tiny/artists", params={"q": "zzzzqqqq"})
    assert response.json() == {"object": "list", "data": []}


@pytest.mark.parametrize("kind", ["artists", "genres"])
@pytest.mark.parametrize("name", ["nothing", "5b", "..", "%2e%2e%2fsecret"])
async def test_names_of_a_model_that_is_not_there(service: Service, kind: str, name: str):
    response = await service.client.get(f"/models/{name}/{kind}")
    assert response.status_code == 404
    assert response.json()["code"] in ("model_not_found", "route_not_found")


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"q": "x" * 201}]
)
async def test_absurd_searches_are_refused(service: Service, params: dict[str, object]):
    response = await service.client.get("/models/tiny/artists", params=params)
    assert_problem(response, 422, "invalid_request")


async def test_models_without_lists_or_with_broken_ones_say_so(
    clean_redis_url, models_dir, tmp_path
):
    models = tmp_path / "models"
    for name in ("mute", "broken"):
        shutil.copytree(models_dir / "tiny", models / name)
    shutil.rmtree(models / "mute" / "labels")
    (models / "broken" / "labels" / "v2_genre_ids.txt").write_text("drone")
    async with serving(clean_redis_url, models, tmp_path / "data") as service:
        assert_problem(await service.client.get("/models/mute/artists"), 404, "labels_not_found")
        problem = assert_problem(
            await service.client.get("/models/broken/artists"), 404, "model_not_found"
        )
        assert str(tmp_path) not in problem["detail"]


def _deep(model):
    (model / "config.json").write_text("[" * 200_000 + "]" * 200_000)


def _deep_objects(model):
    (model / "config.json").write_text('{"format":' * 200_000 + "1" + "}" * 200_000)


def _fifo(model):
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")


def _device(model):
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("/dev/zero")


def _circle(model):
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("config.json")


def _huge(model):
    with (model / "config.json").open("wb") as file:
        file.truncate(1 << 40)


def _folder_circle(model):
    shutil.rmtree(model)
    model.symlink_to(model)


def _half_a_character(model):
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace('"description": "', '"description": "\\ud800'))


def _fifo_of_labels(model):
    file = model / "labels" / "v2_artist_ids.txt"
    file.unlink()
    os.mkfifo(file)


def _huge_labels(model):
    with (model / "labels" / "v2_artist_ids.txt").open("wb") as file:
        file.truncate(1 << 40)


def _fifo_of_weights(model):
    (model / "vqvae.safetensors").unlink()
    os.mkfifo(model / "vqvae.safetensors")


def _endless_number(model):
    text = (model / "config.json").read_text()
    (model / "config.json").write_text(text.replace("16000", "1e999"))


@pytest.mark.parametrize(
    "break_it",
    [
        _deep,
        _deep_objects,
        _fifo,
        _device,
        _circle,
        _huge,
        _folder_circle,
        _half_a_character,
        _fifo_of_labels,
        _huge_labels,
        _fifo_of_weights,
        _endless_number,
    ],
)
async def test_a_hostile_model_folder_is_its_own_trouble_and_is_listed_with_a_sentence(
    clean_redis_url, models_dir, tmp_path, break_it
):
    models = tmp_path / "models"
    for name in ("tiny", "bad"):
        shutil.copytree(models_dir / "tiny", models / name)
    break_it(models / "bad")
    async with serving(clean_redis_url, models, tmp_path / "data") as service:
        response = await service.client.get("/models")
        assert response.status_code == 200
        listed = {model["name"]: model for model in response.json()["data"]}
        assert listed["tiny"]["state"] == "ready"
        assert listed["bad"]["state"] == "broken"
        assert listed["bad"]["error"]
        assert str(tmp_path) not in listed["bad"]["error"]
        assert_problem(await service.client.get("/models/bad/artists"), 404, "model_not_found")
        refused = await service.client.post("/jobs", json=song(model="bad"))
        assert refused.status_code == 422
        assert (await service.client.post("/jobs", json=song(model="tiny"))).status_code == 202
