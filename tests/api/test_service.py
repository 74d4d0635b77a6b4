"""Models, health, the page at /docs."""

from datetime import UTC, datetime

import pytest

from jobs.record.job import Stage
from jobs.store import ModelInMemory, WorkerInfo
from tests.api.conftest import Service, assert_problem, serving, song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def test_models_tell_what_they_can_sing(service: Service):
    response = await service.client.get("/models")
    assert response.status_code == 200
    model = next(model for model in response.json()["data"] if model["name"] == "tiny")
    assert model["sample_rate_hz"] == 16_000
    assert model["description"]
    assert model["licence"]
    assert model["bytes"] > 1000
    assert [level["level"] for level in model["levels"]] == ["top", "middle", "bottom"]
    assert [level["tokens_per_second"] for level in model["levels"]] == [62.5, 250.0, 1000.0]
    assert all(level["context_seconds"] > 0 for level in model["levels"])
    assert {level["label_version"] for level in model["levels"]} <= {"v2", "v3"}


async def test_the_limits_of_a_model_are_the_ones_that_are_enforced(service: Service):
    model = (await service.client.get("/models")).json()["data"][0]
    limits, rate_hz = model["limits"], model["sample_rate_hz"]
    shortest = limits["min_duration_seconds"]
    hop_sec = model["levels"][0]["samples_per_token"] / rate_hz

    async def status(**changes: object) -> int:
        return (await service.client.post("/jobs", json=song(**changes))).status_code

    assert await status(duration_seconds=shortest) == 202
    assert await status(duration_seconds=shortest - hop_sec) == 422
    song_limits = {"song_duration_seconds": limits["min_song_duration_seconds"] - 0.1}
    if song_limits["song_duration_seconds"] > 0:
        assert await status(duration_seconds=shortest, **song_limits) == 422
    longest = limits["max_song_duration_seconds"]
    assert await status(song_duration_seconds=longest - 0.1) == 202
    assert await status(song_duration_seconds=longest + 0.1) == 422


async def test_one_broken_model_hides_no_other(clean_redis_url, models_dir, tmp_path):
    together = tmp_path / "models"
    together.mkdir()
    (together / "tiny").symlink_to(models_dir / "tiny")
    (together / "broken").mkdir()
    (together / "broken" / "config.json").write_text("{")
    async with serving(clean_redis_url, together, tmp_path / "data") as service:
        models = (await service.client.get("/models")).json()["data"]
        assert [model["name"] for model in models if model["state"] == "ready"] == ["tiny"]
        (broken,) = [model for model in models if model["name"] == "broken"]
        assert (broken["state"], broken["limits"]) == ("broken", None)
        assert "log" in broken["error"]
        assert str(tmp_path) not in broken["error"]
        response = await service.client.post("/jobs", json=song(model="broken"))
        assert_problem(response, 422, "invalid_request")


async def test_healthy_and_ready(service: Service):
    for path in ("/healthz", "/readyz"):
        response = await service.client.get(path)
        assert response.status_code == 200
        assert response.json() == {"status": "ok"}


async def test_the_system_shows_workers_and_counts(service: Service):
    await service.post()
    worker = WorkerInfo(
        name="one",
        device="cpu",
        models=("tiny",),
        stages=(Stage.TOP, Stage.RENDER),
        seen_at=service.store.get((await service.post())["id"]).created_at,
    )
    service.store.announce_worker(worker, ttl_sec=60)

    system = (await service.client.get("/system")).json()

    assert system["version"]
    assert system["jobs"]["queued"] == 2
    assert system["jobs"]["running"] == 0
    assert system["workers"][0]["name"] == "one"
    assert 0 < system["disk"]["free_bytes"] < system["disk"]["total_bytes"]
    assert system["workers"][0]["stages"] == ["top", "render"]
    assert system["workers"][0]["loaded_models"] == []


def announce(service: Service, name: str, stages: tuple[Stage, ...], **facts: object) -> None:
    service.store.announce_worker(
        WorkerInfo(
            name=name,
            device="cpu",
            models=("tiny",),
            stages=stages,
            seen_at=datetime.now(UTC),
            **facts,
        ),
        ttl_sec=60,
    )


async def test_models_tell_what_they_take_here_as_workers_and_songs_have_measured_it(
    service: Service,
):
    async def figures() -> list[float | None]:
        model = (await service.client.get("/models")).json()["data"][0]
        names = ("of_music", "in_parallel")
        return [model["memory_bytes"], *(model[f"estimated_seconds_per_second_{n}"] for n in names)]

    assert await figures() == [None, None, None]
    setups = {"tiny": "int8 weights, native backend, 2 threads"}
    announce(service, "slow", tuple(Stage), model_memory={"tiny": 9}, model_setups=setups)
    assert await figures() == [9, None, None]
    for stage in Stage:
        service.store.record_rate("tiny", stage, 1000.0)
    memory, exact, in_parallel = await figures()
    # 62.5 + 250 + 1,000 tokens for a second of music.
    assert (memory, exact) == (9, pytest.approx(1.3125, abs=1e-3))
    assert 0 < in_parallel < exact
    fast = {"model_memory": {"tiny": 7}, "model_seconds": {"tiny": (2.5, 1.5)}}
    announce(service, "fast", tuple(Stage), **fast)
    assert await figures() == [7, 2.5, 1.5]
    (_, slow) = (await service.client.get("/system")).json()["workers"]
    assert slow["model_setups"] == setups


async def test_a_model_that_no_worker_can_hold_is_refused_with_a_sentence(service: Service):
    sentence = "the model tiny is too large here: it takes at least 9.0 GB of memory"
    announce(service, "render", (Stage.RENDER,))
    await service.post()
    announce(service, "small", tuple(Stage), too_large={"tiny": sentence})
    response = await service.client.post("/jobs", json=song())
    problem = assert_problem(response, 409, "model_too_large")
    assert sentence in problem["detail"]
    assert (await service.client.get("/jobs")).json()["data"][1:] == []
    system = (await service.client.get("/system")).json()
    assert system["workers"][1]["too_large"] == {"tiny": sentence}
    # A worker for the upper levels alone does not help a job of all.
    announce(service, "top", (Stage.TOP,))
    assert (await service.client.post("/jobs", json=song())).status_code == 409
    held = ModelInMemory(name="tiny", memory_bytes=7, idle_since=datetime.now(UTC))
    announce(service, "large", tuple(Stage), loaded_models=(held,))
    await service.post()
    system = (await service.client.get("/system")).json()
    (loaded,) = system["workers"][0]["loaded_models"]
    assert (loaded["name"], loaded["memory_bytes"]) == ("tiny", 7)
