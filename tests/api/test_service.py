"""Models, health, the page at /docs."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import get_args

import pytest
from httpx import Response

from jobs.record.bodies import AnyBody
from jobs.record.job import JobError, Stage
from jobs.store import ModelInMemory, WorkerInfo
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.sounds import encoded, sent, tone

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


TOO_LARGE = "the model tiny is too large here: it takes at least 9.0 GB of memory"


async def _at_the_door(service: Service, door: str) -> Callable[[], Awaitable[Response]]:
    """Asks for work in one of the ways in which a client can; what that needs is there."""
    path, body = "/jobs", song()
    if door in ("retry", "late-retry"):
        job = await service.post(levels=["top"])
        stage = Stage.TOP
        if door == "late-retry":
            service.worker.finish_level(service.worker.claim(job["id"]))
            stage = Stage.RENDER
        error = JobError(code="model_too_large", message="it takes 9 GB", retryable=True)
        service.store.fail(service.worker.claim(job["id"], stage), error)
        path, body = f"/jobs/{job['id']}/retry", {}
    elif door == "primed":
        asset = await sent(service, encoded(tone(3.0), "flac"), "a.flac")
        body = song(mode="primed", prompt={"asset_id": asset["id"]})
    elif door != "ancestral":
        parent = await service.post(levels=["top"])
        service.worker.sing(parent["id"])
        body = {"mode": door, "parent_id": parent["id"]}
        if door == "splice":
            body = {"mode": door, "parts": [{"source": parent["id"]}]}
        body |= {"continue": {"duration_seconds": 2}, "redo": {"start_seconds": 4}}.get(door, {})
    return lambda: service.client.post(path, json=body, headers={"Idempotency-Key": door})


MODES = [get_args(body.model_fields["mode"].annotation)[0] for body in get_args(AnyBody)]


@pytest.mark.parametrize("door", [*MODES, "retry", "late-retry"])
async def test_no_door_lets_work_in_for_a_model_that_no_worker_can_hold(
    service: Service, door: str
):
    ask = await _at_the_door(service, door)
    announce(service, "small", tuple(Stage), too_large={"tiny": TOO_LARGE})
    before = sorted(service.left_behind())
    problem = assert_problem(await ask(), 409, "model_too_large")
    assert TOO_LARGE in problem["detail"]
    assert sorted(service.left_behind()) == before
    statuses = {each["status"] for each in (await service.client.get("/jobs")).json()["data"]}
    assert not statuses & {"queued", "running"}
    announce(service, "large", tuple(Stage))
    accepted = await ask()
    assert accepted.is_success, accepted.text
    # What was accepted is shown again to whoever asks once more, whatever workers are there now.
    announce(service, "large", tuple(Stage), too_large={"tiny": TOO_LARGE})
    assert (await ask()).json()["id"] == accepted.json()["id"]


async def test_a_retry_needs_workers_for_the_stages_that_are_left(service: Service):
    ask = await _at_the_door(service, "late-retry")
    announce(service, "top", (Stage.TOP,), too_large={"tiny": TOO_LARGE})
    assert (await ask()).status_code == 200


async def test_a_model_that_no_worker_can_hold_is_refused_with_a_sentence(service: Service):
    sentence = TOO_LARGE
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
