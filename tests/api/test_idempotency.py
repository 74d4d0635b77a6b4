"""`Idempotency-Key`: a request that is sent again makes no second job."""

import asyncio
import hashlib
import json

import pytest

from api.web.idempotency import idempotency_of
from jobs.errors import StoreUnavailable
from jobs.idempotency import IdempotencyKey
from jobs.record.annotations import Annotations
from jobs.record.bodies import AncestralBody, ContinueBody
from jobs.record.job import JobStatus, Stage
from jobs.store import JobStore
from jobs.store.scripts import FEED_KEY
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.scripted_worker import files_below
from tests.api.sounds import encoded, tone
from tests.api.test_modes import primed, sent

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


def named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_the_same_key_and_body_give_the_same_job_and_say_so(service: Service):
    first = await service.client.post("/jobs", json=song(seed=None), headers=named("k-1"))
    again = await service.client.post("/jobs", json=song(seed=None), headers=named("k-1"))

    assert (first.status_code, again.status_code) == (202, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert service.queue.depth(Stage.TOP) == 1


async def test_the_order_of_fields_and_white_space_make_no_other_body(service: Service):
    body = song()
    turned = json.dumps(dict(reversed(body.items())), indent=4)
    first = await service.client.post("/jobs", json=body, headers=named("k"))
    again = await service.client.post(
        "/jobs", content=turned, headers={**named("k"), "content-type": "application/json"}
    )
    assert again.json()["id"] == first.json()["id"]


async def test_the_same_key_with_another_body_is_refused(service: Service):
    await service.client.post("/jobs", json=song(), headers=named("k"))
    response = await service.client.post("/jobs", json=song(seed=8), headers=named("k"))
    problem = assert_problem(response, 422, "idempotency_key_reused")
    assert problem["errors"][0]["in"] == "header"
    assert len((await service.client.get("/jobs")).json()["data"]) == 1


async def test_a_refused_request_leaves_its_key_free(service: Service):
    refused = await service.client.post("/jobs", json=song(model="nobody"), headers=named("k"))
    assert refused.status_code == 422
    accepted = await service.client.post("/jobs", json=song(), headers=named("k"))
    assert accepted.status_code == 202


async def test_a_replay_shows_the_job_as_it_is_now(service: Service):
    first = (await service.client.post("/jobs", json=song(), headers=named("k"))).json()
    service.worker.sing(first["id"])
    again = await service.client.post("/jobs", json=song(), headers=named("k"))
    assert again.json()["status"] == "succeeded"
    assert "retry-after" not in again.headers


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "t\u00e4st", "a\tb"])
async def test_a_key_that_is_none_is_refused(service: Service, key: str):
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = await service.client.post("/jobs", json=song(), headers=headers)
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/Idempotency-Key"
    assert "visible ASCII" in problem["errors"][0]["detail"]


async def test_the_longest_key_and_every_visible_character_are_taken(service: Service):
    visible = "".join(map(chr, range(0x21, 0x7F)))
    key = (visible * 3)[:255]
    for status in (202, 200):
        response = await service.client.post("/jobs", json=song(), headers=named(key))
        assert response.status_code == status


async def test_requests_at_once_on_two_api_processes_make_one_job(
    service: Service, models_dir, tmp_path
):
    """Two applications over one store, as two processes would be."""
    async with serving(service.redis_url, models_dir, tmp_path) as other:
        asset = await sent(service, encoded(tone()))
        before = len(files_below(tmp_path / "artifacts"))
        calls = [
            each.client.post("/jobs", json=primed(asset), headers=named("k"))
            for each in (service, other) * 4
        ]
        responses = await asyncio.gather(*calls)
    assert sorted(response.status_code for response in responses) == [200] * 7 + [202]
    assert len({response.json()["id"] for response in responses}) == 1
    assert service.queue.depth(Stage.TOP) == 1
    # Those that lost have taken their copies of the prompt away again.
    assert len(files_below(tmp_path / "artifacts")) == before + 1


async def test_a_replay_needs_no_asset_any_more(service: Service):
    asset = await sent(service, encoded(tone()))
    first = await service.client.post("/jobs", json=primed(asset), headers=named("k"))
    await service.client.delete(asset["urls"]["self"])
    again = await service.client.post("/jobs", json=primed(asset), headers=named("k"))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def lose_the_answer(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is written, and nobody hears of it."""
    create = store.create

    def lost(*arguments, **options):
        create(*arguments, **options)
        raise StoreUnavailable("no answer came")

    monkeypatch.setattr(store, "create", lost)


async def test_a_job_whose_503_was_asked_for_again_with_its_key_is_never_taken_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    asset = await sent(service, encoded(tone()))
    with monkeypatch.context() as patched:
        lose_the_answer(service.store, patched)
        response = await service.client.post("/jobs", json=primed(asset), headers=named("k"))
        assert_problem(response, 503, "store_unavailable")
    again = await service.client.post("/jobs", json=primed(asset), headers=named("k"))
    assert again.status_code == 200
    await asyncio.sleep(1.5)
    job = service.store.get(again.json()["id"])
    assert job.status is JobStatus.QUEUED
    assert service.artifacts.path(job.id, job.prompt_audio_name).exists()


async def test_a_job_whose_503_nobody_asked_for_again_is_taken_back_with_its_files(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    asset = await sent(service, encoded(tone()))
    before = sorted([*service.left_behind(), FEED_KEY])  # the feed tells of both
    with monkeypatch.context() as patched:
        lose_the_answer(service.store, patched)
        await service.client.post("/jobs", json=primed(asset), headers=named("k"))
    async with asyncio.timeout(60.0):
        while sorted(service.left_behind()) != before:
            await asyncio.sleep(0.1)
    late = await service.client.post("/jobs", json=primed(asset), headers=named("k"))
    assert late.status_code == 202


async def test_a_release_that_adds_a_field_knows_the_requests_of_the_one_before(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    first = await service.client.post("/jobs", json=song(seed=None), headers=named("k"))
    dump = AncestralBody.model_dump

    def with_new_field(self, **options):
        dumped = dump(self, **options)
        return dumped if options.get("exclude_defaults") else dumped | {"tempo": None}

    monkeypatch.setattr(AncestralBody, "model_dump", with_new_field)
    again = await service.client.post("/jobs", json=song(seed=None), headers=named("k"))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


async def test_a_request_that_the_previous_release_took_is_known_by_its_hash(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    def of_previous_release(caller, key, body):
        added = {"lyrics_format", "channels", "stereo_genres", *Annotations.model_fields}
        dumped = body.model_dump_json(exclude=added)
        digest = hashlib.sha256(dumped.encode()).hexdigest()
        return key and IdempotencyKey(caller=caller, key=key, request_sha256=digest)

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.jobs.idempotency_of", of_previous_release)
        first = await service.client.post("/jobs", json=song(), headers=named("k"))
    again = await service.client.post("/jobs", json=song(), headers=named("k"))
    other = await service.client.post("/jobs", json=song(seed=9), headers=named("k"))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert_problem(other, 422, "idempotency_key_reused")


async def test_defaults_that_are_written_out_make_no_other_body(service: Service):
    first = await service.client.post("/jobs", json=song(), headers=named("k"))
    body = {"offset_seconds": 0.0, "artist_id": None, "num_samples": 1} | song()
    again = await service.client.post("/jobs", json=body, headers=named("k"))
    assert again.json()["id"] == first.json()["id"]


OF_LAST_RELEASE = {
    "song": (
        AncestralBody.model_validate(song()),
        "d9c4edbe03e108de91af18a8d6d6c6aab002bc9528d89e317f304ed5b9065532",
        "99171d66ad2a66ec39c510e28b5357c8a6114440addfb9fc0288cec291df854b",
    ),
    "continue": (
        ContinueBody(mode="continue", parent_id="job_" + "0" * 32, duration_seconds=1.5),
        "54427546df6df8f46017ea0ba8a7983b9aa2aa28b9b5acff73135aec01f22a1a",
        "c9d066d6dfd2c578bca14d4a64dd7ca55f6ee4d346379b6c69b069d324b58bd1",
    ),
}


@pytest.mark.parametrize(
    ("body", "request_sha256", "previous_sha256"), OF_LAST_RELEASE.values(), ids=OF_LAST_RELEASE
)
def test_bodies_without_new_fields_have_the_hashes_of_the_last_release(
    body, request_sha256, previous_sha256
):
    found = idempotency_of("anyone", "k", body)
    assert (found.request_sha256, found.previous_sha256) == (request_sha256, previous_sha256)


async def test_another_title_makes_another_body(service: Service):
    for title, status in (("Rain", 202), ("Rain", 200), ("Snow", 422), (None, 422)):
        response = await service.client.post("/jobs", json=song(title=title), headers=named("k"))
        assert response.status_code == status


async def test_a_request_of_the_previous_release_is_another_one_with_a_title(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    def of_previous_release(caller, key, body):
        digest = OF_LAST_RELEASE["song"][2]
        return IdempotencyKey(caller=caller, key=key, request_sha256=digest)

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.jobs.idempotency_of", of_previous_release)
        await service.client.post("/jobs", json=song(), headers=named("k"))
    again = await service.client.post("/jobs", json=song(title="Rain"), headers=named("k"))
    assert_problem(again, 422, "idempotency_key_reused")
