"""Asking for songs, looking, listing, stopping, forgetting."""

import asyncio
import time
from datetime import datetime

import pytest

from jobs.record.job import Stage, is_job_id, new_job_id
from tests.api.conftest import Service, assert_problem, song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


async def test_a_post_answers_202_with_the_whole_job_and_where_it_lives(service: Service):
    response = await service.client.post("/jobs", json=song())

    assert response.status_code == 202
    job = response.json()
    assert is_job_id(job["id"])
    assert response.headers["location"] == job["urls"]["self"] == f"/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert job["object"] == "job"
    assert job["status"] == "queued"
    assert job["stage"] == "top"
    assert job["queue_position"] == 0
    assert job["eta_seconds"] is None
    assert job["outputs"] == []
    assert job["error"] is None
    assert job["attempt"] == 1
    assert datetime.fromisoformat(job["created_at"]).tzinfo is not None
    assert job["created_at"].endswith("Z")
    assert set(job["urls"]) == {
        "self",
        "events",
        "cancel",
        "retry",
        "pin",
        "audio",
        "codes",
        "alignment",
        "lyrics",
        "children",
        "archive",
        "live",
        "peaks",
        "spectrogram",
        "signed",
    }


async def test_the_plan_of_every_level_is_known_when_the_job_is_accepted(service: Service):
    job = await service.post()

    levels = {level["level"]: level for level in job["progress"]["levels"]}
    assert {name: level["tokens_total"] for name, level in levels.items()} == {
        "top": 625,
        "middle": 2500,
        "bottom": 10_000,
    }
    assert all(level["windows_total"] >= 1 for level in levels.values())
    assert all(level["tokens_done"] == level["windows_done"] == 0 for level in levels.values())
    assert job["progress"]["value"] == 0.0


async def test_the_input_comes_back_complete(service: Service):
    job = await service.post(seed=None, lyrics=None, sampling={"top": {"temperature": 0.5}})

    wanted = job["input"]
    assert wanted["seed"] == job["seed"]
    assert 0 <= job["seed"] < 2**53
    assert wanted["song_duration_seconds"] >= wanted["duration_seconds"]
    assert wanted["sampling"]["top"]["temperature"] == 0.5
    assert wanted["sampling"]["bottom"]["temperature"] == 0.99
    assert wanted["levels"] == ["top", "middle", "bottom"]


async def test_two_jobs_without_a_seed_get_different_ones(service: Service):
    first, second = await service.post(seed=None), await service.post(seed=None)
    assert first["seed"] != second["seed"]


async def test_a_seed_that_was_given_is_kept(service: Service):
    assert (await service.post(seed=0))["seed"] == 0
    assert (await service.post(seed=2**53 - 1))["seed"] == 2**53 - 1


async def test_labels_say_what_each_name_resolved_to_at_each_level(service: Service):
    job = await service.post(artist="Nobody At All")

    assert set(job["labels"]) == {"top", "middle", "bottom"}
    for level in job["labels"].values():
        assert level["version"] in ("v2", "v3")
        assert level["artist"]["known"] is False
        assert level["artist"]["id"] == 0


async def test_a_draft_has_one_level(service: Service):
    job = await service.post(levels=["top"])
    assert [level["level"] for level in job["progress"]["levels"]] == ["top"]
    assert set(job["labels"]) == {"top"}


async def test_an_accepted_job_is_recorded_and_a_message_waits(service: Service):
    job = await service.post()
    assert service.store.get(job["id"]).status == "queued"
    assert service.queue.depth(Stage.TOP) == 1


async def test_waiting_jobs_know_their_place(service: Service):
    jobs = [await service.post() for _ in range(3)]
    seen = [(await service.client.get(job["urls"]["self"])).json() for job in jobs]
    assert [job["queue_position"] for job in seen] == [0, 1, 2]


async def test_an_eta_appears_once_speeds_were_measured(service: Service):
    first, second = await service.post(levels=["top"]), await service.post(levels=["top"])
    service.store.record_rate("tiny", Stage.TOP, 62.5)

    etas = [
        (await service.client.get(job["urls"]["self"])).json()["eta_seconds"]
        for job in (first, second)
    ]
    assert etas == [pytest.approx(10.0), pytest.approx(20.0)]


async def test_the_eta_of_a_running_job_is_its_workers_forecast(service: Service):
    job = await service.post()
    claim = service.worker.claim(job["id"])
    service.worker.report(claim, "top", 300, 0.1)
    assert (await service.client.get(job["urls"]["self"])).json()["eta_seconds"] is None
    service.worker.report(claim, "top", 400, 0.2, seconds_left=42.25)
    service.worker.report(claim, "top", 400, 0.2)
    assert (await service.client.get(job["urls"]["self"])).json()["eta_seconds"] == 42.2


async def test_three_takes_in_one_batch_are_not_told_to_take_three_times_as_long(service: Service):
    one, three = await service.post(), await service.post(num_samples=3)
    for stage in (Stage.TOP, Stage.MIDDLE, Stage.BOTTOM):
        service.store.record_rate("tiny", stage, 100.0)
    service.worker.claim(one["id"])
    etas = [
        (await service.client.get(job["urls"]["self"])).json()["eta_seconds"]
        for job in (one, three)
    ]
    assert etas[0] < etas[1] < 2.0 * etas[0]


async def test_a_job_can_be_watched_from_queue_to_end(service: Service):
    job = await service.post()
    path = job["urls"]["self"]

    claim = service.worker.claim(job["id"])
    service.worker.report(claim, "top", 300, 0.1)
    running = (await service.client.get(path)).json()
    assert running["status"] == "running"
    assert running["queue_position"] is None
    assert running["progress"]["value"] == pytest.approx(0.1)
    assert running["progress"]["level"] == "top"
    assert running["progress"]["levels"][0]["tokens_done"] == 300
    assert running["started_at"] is not None
    assert running["metrics"]["queue_seconds"] >= 0.0

    service.worker.finish_level(claim)
    after_top = (await service.client.get(path)).json()
    assert [output["level"] for output in after_top["outputs"]] == ["top"]
    assert after_top["metrics"]["levels"]["top"]["tokens_per_second"] == pytest.approx(312.5)

    for stage in (Stage.MIDDLE, Stage.BOTTOM):
        service.worker.finish_level(service.worker.claim(job["id"], stage))
    service.store.succeed(service.worker.claim(job["id"], Stage.RENDER))

    response = await service.client.get(path)
    done = response.json()
    assert done["status"] == "succeeded"
    assert done["progress"]["value"] == 1.0
    assert done["progress"]["level"] is None
    assert done["completed_at"] is not None
    assert done["eta_seconds"] is None
    assert "retry-after" not in response.headers
    output = next(output for output in done["outputs"] if output["level"] == "bottom")
    assert output["duration_seconds"] == pytest.approx(10.0)
    assert output["sample_rate_hz"] == 16_000
    assert output["format"] == "wav"
    sound = await service.client.get(output["url"])
    assert len(sound.content) == output["bytes"]


async def test_a_failed_job_says_why(service: Service):
    job = await service.post()
    service.worker.fail(job["id"])
    failed = (await service.client.get(job["urls"]["self"])).json()
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "code": "out_of_memory",
        "message": "the device is full",
        "retryable": True,
    }


async def test_long_polling_returns_at_the_next_change(service: Service):
    job = await service.post()
    waiting = asyncio.create_task(service.client.get(job["urls"]["self"], params={"wait": 60}))
    await service.somebody_waits()
    assert not waiting.done()

    claim = service.worker.claim(job["id"])
    response = await asyncio.wait_for(waiting, 50)

    assert response.json()["status"] == "running"
    service.store.release(claim)


async def test_long_polling_sleeps_through_progress(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    asked, events_after = [], service.watcher.events_after

    async def noting(job_id: str, last_event_id: str, *, timeout_sec: float):
        asked.append(last_event_id)
        return await events_after(job_id, last_event_id, timeout_sec=timeout_sec)

    job = await service.post()
    path = job["urls"]["self"]
    claim = service.worker.claim(job["id"])
    with monkeypatch.context() as patched:
        patched.setattr(service.watcher, "events_after", noting)
        waiting = asyncio.create_task(service.client.get(path, params={"wait": 60}))
        await service.somebody_waits()
        service.worker.report(claim, "top", 100, 0.05)
        progress_id = await service.watcher.last_event_id(job["id"])
        async with asyncio.timeout(50):
            while progress_id not in asked:
                await asyncio.sleep(0.01)
    assert not waiting.done()
    await service.client.post(job["urls"]["cancel"])
    assert (await waiting).json()["status"] == "canceling"
    response = await service.client.get(path, params={"wait": 0.1})
    assert response.json()["progress"]["value"] == pytest.approx(0.05)


async def test_long_polling_a_finished_job_returns_at_once(service: Service):
    job = await service.post()
    await service.client.post(job["urls"]["cancel"])
    started = time.monotonic()
    response = await service.client.get(job["urls"]["self"], params={"wait": 60})
    assert response.json()["status"] == "canceled"
    assert time.monotonic() - started < 50


async def test_hundreds_can_wait_at_once(service: Service):
    job = await service.post()
    path = job["urls"]["self"]
    waiting = [
        asyncio.create_task(service.client.get(path, params={"wait": 60})) for _ in range(200)
    ]
    await service.somebody_waits(200)
    assert (await service.client.get("/readyz")).status_code == 200
    await service.client.post(job["urls"]["cancel"])
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert {answer.json()["status"] for answer in answers} == {"canceled"}


async def test_canceling_a_queued_job_ends_it_and_may_be_repeated(service: Service):
    job = await service.post()
    for _ in range(2):
        response = await service.client.post(job["urls"]["cancel"])
        assert response.status_code == 200
        assert response.json()["status"] == "canceled"


async def test_canceling_a_running_job_asks_its_worker(service: Service):
    job = await service.post()
    claim = service.worker.claim(job["id"])
    response = await service.client.post(job["urls"]["cancel"])
    assert response.json()["status"] == "canceling"
    assert service.worker.report(claim, "top", 10, 0.01) is True


async def test_a_canceled_job_keeps_its_finished_levels(service: Service):
    job = await service.post()
    service.worker.finish_level(service.worker.claim(job["id"]))
    claim = service.worker.claim(job["id"], Stage.MIDDLE)
    await service.client.post(job["urls"]["cancel"])
    service.store.cancel(claim)
    canceled = (await service.client.get(job["urls"]["self"])).json()
    assert canceled["status"] == "canceled"
    assert (await service.client.get(canceled["outputs"][0]["url"])).status_code == 200


async def test_canceling_a_song_that_is_there_changes_nothing(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    response = await service.client.post(job["urls"]["cancel"])
    assert response.status_code == 200
    assert response.json()["status"] == "succeeded"


async def test_a_deleted_job_leaves_no_record_and_no_file(service: Service):
    job = await service.post()
    service.worker.sing(job["id"])
    assert any(job["id"] in path for path in service.left_behind() if path.startswith("/"))

    response = await service.client.delete(job["urls"]["self"], params={"permanent": "true"})

    assert response.status_code == 204
    assert response.content == b""
    assert not [name for name in service.left_behind() if job["id"] in name]
    assert_problem(await service.client.get(job["urls"]["self"]), 404, "job_not_found")
    assert_problem(await service.client.delete(job["urls"]["self"]), 404, "job_not_found")


async def test_a_job_that_has_not_ended_cannot_be_deleted(service: Service):
    job = await service.post()
    assert_problem(await service.client.delete(job["urls"]["self"]), 409, "job_not_finished")
    service.worker.claim(job["id"])
    assert_problem(await service.client.delete(job["urls"]["self"]), 409, "job_not_finished")
    assert (await service.client.get(job["urls"]["self"])).status_code == 200


async def test_a_list_can_be_walked_page_by_page_newest_first(service: Service):
    ids = [(await service.post())["id"] for _ in range(5)]
    seen, cursor = [], None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await service.client.get("/jobs", params=params)).json()
        assert page["object"] == "list"
        assert page["has_more"] is (page["next_cursor"] is not None)
        seen += [job["id"] for job in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]
    assert cursor is None


async def test_a_list_can_be_filtered(service: Service):
    first, second = await service.post(), await service.post()
    await service.client.post(first["urls"]["cancel"])

    async def ids(**params: str) -> list[str]:
        response = await service.client.get("/jobs", params=params)
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["data"]]

    assert await ids(status="canceled") == [first["id"]]
    assert await ids(status="queued", model="tiny") == [second["id"]]
    assert await ids(model="another") == []
    assert await ids(created_after=first["created_at"]) == [second["id"]]
    assert await ids(created_after="2099-01-01T00:00:00Z") == []


@pytest.mark.parametrize("action", ["get", "delete"])
async def test_an_id_of_the_right_shape_may_still_be_unknown(service: Service, action: str):
    response = await service.client.request(action, f"/jobs/{new_job_id()}")
    assert_problem(response, 404, "job_not_found")


async def test_urls_keep_the_prefix_of_a_proxy(service: Service):
    service.client._transport.root_path = "/music"  # type: ignore[attr-defined]
    response = await service.client.post("/music/jobs", json=song())
    assert response.status_code == 202, response.text
    assert response.headers["location"].startswith("/music/jobs/job_")
