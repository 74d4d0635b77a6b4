"""How long a job may take, how long it is kept, and how much may be asked for in a day."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import JobNotFound
from jobs.files.assets import FACTS_NAME
from jobs.record.job import new_job_id
from tests.api.conftest import Service, assert_problem, serving, song
from tests.api.scripted_worker import files_below
from tests.api.sounds import encoded, send, sent, tone
from tests.fixtures.servers import ServerClock

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

SWEEP_SEC = 0.05


@pytest.fixture
def serve(clean_redis_url: str, clock: ServerClock, models_dir: Path, tmp_path: Path):
    """The service with settings of the test's own, and a sweeper in a hurry.

    Its store goes by a clock that the test may put forward.
    """

    @asynccontextmanager
    async def start(**settings) -> AsyncIterator[Service]:
        options = {"sweep_sec": SWEEP_SEC, **settings}
        async with serving(clean_redis_url, models_dir, tmp_path, **options) as service:
            yield service

    return start


def keys_of(folder: Path, *names: str) -> list[dict[str, str]]:
    keys = ApiKeyFile(folder)
    tokens = [keys.create(name, [Scope.SUBMIT, Scope.READ])[1] for name in names]
    return [{"Authorization": f"Bearer {token}"} for token in tokens]


async def until(condition, timeout_sec=60.0):
    async with asyncio.timeout(timeout_sec):
        while not condition():
            await asyncio.sleep(0.02)


def is_gone(service: Service, job_id: str) -> bool:
    try:
        service.store.get(job_id)
    except JobNotFound:
        return True
    return False


class TestDeadlines:
    async def test_a_waiting_job_fails_at_its_deadline(self, serve, clock):
        async with serve() as service:
            job = await service.post(timeout_seconds=300)
            seconds = datetime.fromisoformat(job["deadline_at"]) - datetime.fromisoformat(
                job["created_at"]
            )
            assert seconds.total_seconds() == pytest.approx(300, abs=20)
            assert job["input"]["timeout_seconds"] == 300
            clock.pass_time(301)
            failed = (await service.client.get(f"/jobs/{job['id']}?wait=60")).json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "deadline_exceeded")
        assert failed["error"]["retryable"]

    async def test_a_retry_goes_on_with_as_much_time_again(self, serve, clock):
        async with serve() as service:
            job = await service.post(timeout_seconds=300)
            service.worker.finish_level(service.worker.claim(job["id"]))
            clock.pass_time(301)
            failed = (await service.client.get(f"/jobs/{job['id']}?wait=60")).json()
            assert failed["error"]["code"] == "deadline_exceeded"
            retried = (await service.client.post(job["urls"]["retry"])).json()
            assert (retried["status"], retried["stage"]) == ("queued", "middle")
            assert retried["deadline_at"] > failed["deadline_at"]
            assert retried["outputs"] == failed["outputs"] != []

    async def test_the_service_may_bound_every_job(self, serve):
        async with serve(max_timeout_sec=60.0) as service:
            job = await service.post()
            assert job["input"]["timeout_seconds"] == 60.0
            response = await service.client.post("/jobs", json=song(timeout_seconds=61))
            problem = assert_problem(response, 422, "invalid_request")
            assert problem["errors"][0]["pointer"] == "/timeout_seconds"

    @pytest.mark.parametrize("timeout", [0, -1, "10", True, 1e9])
    async def test_a_timeout_that_is_none_is_refused(self, service: Service, timeout):
        response = await service.client.post("/jobs", json=song(timeout_seconds=timeout))
        problem = assert_problem(response, 422, "invalid_request")
        assert problem["errors"][0]["pointer"] == "/timeout_seconds"


class TestKeeping:
    async def test_a_job_says_until_when_it_is_kept_and_goes_then(self, serve, clock):
        async with serve(keep_jobs_sec=300.0) as service:
            job = await service.post(levels=["top"])
            assert (job["expires_at"], job["pinned"]) == (None, False)
            service.worker.sing(job["id"])
            done = (await service.client.get(job["urls"]["self"])).json()
            assert done["expires_at"] > done["completed_at"]
            clock.pass_time(301)
            await until(lambda: is_gone(service, job["id"]))
            assert_problem(await service.client.get(job["urls"]["self"]), 404, "job_not_found")
            await until(lambda: files_below(service.data_dir / "artifacts") == [])

    async def test_a_pinned_job_stays(self, serve, clock):
        async with serve(keep_jobs_sec=300.0) as service:
            job = await service.post(levels=["top"])
            pinned = (await service.client.post(job["urls"]["pin"])).json()
            assert pinned["pinned"]
            service.worker.sing(job["id"])
            clock.pass_time(301)
            await asyncio.sleep(4 * SWEEP_SEC)
            done = (await service.client.get(job["urls"]["self"])).json()
            assert (done["pinned"], done["expires_at"]) == (True, None)
            unpinned = (await service.client.delete(job["urls"]["pin"])).json()
            assert (unpinned["pinned"], unpinned["expires_at"] is None) == (False, False)
            clock.pass_time(301)
            await until(lambda: is_gone(service, job["id"]))

    async def test_codes_may_go_earlier_and_a_retry_or_a_child_is_told_so(self, serve, clock):
        async with serve(keep_codes_sec=300.0) as service:
            job = await service.post(levels=["top"])
            clock.pass_time(-600)  # so that what passes below has passed by every clock
            service.worker.sing(job["id"])
            done = (await service.client.get(job["urls"]["self"])).json()
            assert done["codes_expire_at"] < done["expires_at"]
            assert (await service.client.get(job["urls"]["codes"])).status_code == 200
            clock.pass_time(301)
            await until(lambda: service.store.get(job["id"]).codes_name is None)
            assert_problem(await service.client.get(job["urls"]["codes"]), 410, "codes_expired")
            assert (await service.client.get(job["urls"]["audio"])).status_code == 200
            body = {"mode": "continue", "parent_id": job["id"], "duration_seconds": 5}
            problem = assert_problem(
                await service.client.post("/jobs", json=body), 422, "invalid_request"
            )
            assert "expired" in problem["detail"]

    async def test_what_is_not_there_or_another_s_cannot_be_pinned(self, serve, tmp_path):
        alice, bob = keys_of(tmp_path, "alice", "bob")
        async with serve() as service:
            created = await service.client.post("/jobs", json=song(), headers=alice)
            path = created.json()["urls"]["pin"]
            for method in ("POST", "DELETE"):
                for url in (path, f"/jobs/{new_job_id()}/pin", "/jobs/x/pin"):
                    response = await service.client.request(method, url, headers=bob)
                    assert_problem(response, 404, "job_not_found")
            assert not service.store.get(created.json()["id"]).pinned

    async def test_without_a_limit_everything_is_kept(self, serve):
        async with serve(keep_jobs_sec=0.0, keep_assets_sec=0.0) as service:
            job = await service.post(levels=["top"])
            service.worker.sing(job["id"])
            done = (await service.client.get(job["urls"]["self"])).json()
            assert (done["expires_at"], done["codes_expire_at"]) == (None, None)
            assert (await sent(service, encoded(tone())))["expires_at"] is None

    async def test_an_asset_says_until_when_it_is_kept_and_goes_then(self, serve):
        async with serve(keep_assets_sec=300.0) as service:
            asset = await sent(service, encoded(tone()))
            assert asset["expires_at"] > asset["created_at"]
        # The sweeper looks at assets once as it starts, and then only once a minute.
        facts = service.data_dir / "assets" / asset["id"] / FACTS_NAME
        os.utime(facts, (facts.stat().st_atime, facts.stat().st_mtime - 400.0))
        async with serve(keep_assets_sec=300.0) as service:
            await until(lambda: files_below(service.data_dir / "assets") == [])
            assert_problem(await service.client.get(asset["urls"]["self"]), 404, "asset_not_found")


class TestMusicOfADay:
    async def test_a_key_may_have_so_many_seconds_a_day(self, serve, tmp_path):
        alice, bob = keys_of(tmp_path, "alice", "bob")
        async with serve(max_audio_sec_per_day=25) as service:
            body = song(duration_seconds=10, num_samples=2)
            first = await service.client.post("/jobs", json=body, headers=alice)
            assert first.status_code == 202
            response = await service.client.post("/jobs", json=song(), headers=alice)
            assert_problem(response, 429, "audio_quota_exceeded")
            assert 1 <= int(response.headers["retry-after"]) <= 86_400
            assert (await service.client.post("/jobs", json=body, headers=bob)).status_code == 202
            await service.client.post(first.json()["urls"]["cancel"], headers=alice)
            again = await service.client.post("/jobs", json=song(), headers=alice)
            assert again.status_code == 202

    async def test_what_no_day_could_hold_is_no_matter_of_waiting(self, serve, tmp_path):
        (alice,) = keys_of(tmp_path, "alice")
        async with serve(max_audio_sec_per_day=25) as service:
            body = song(duration_seconds=10, num_samples=3)
            response = await service.client.post("/jobs", json=body, headers=alice)
            problem = assert_problem(response, 422, "invalid_request")
            assert problem["errors"][0]["pointer"] == "/duration_seconds"

    async def test_of_a_continuation_only_what_is_new_counts(self, serve, tmp_path):
        (alice,) = keys_of(tmp_path, "alice")
        async with serve(max_audio_sec_per_day=16) as service:
            body = song(duration_seconds=10, levels=["top"])
            job = (await service.client.post("/jobs", json=body, headers=alice)).json()
            service.worker.sing(job["id"])
            more = {"mode": "continue", "parent_id": job["id"], "duration_seconds": 5}
            response = await service.client.post("/jobs", json=more, headers=alice)
            assert response.status_code == 202, response.text
            response = await service.client.post("/jobs", json=more, headers=alice)
            assert_problem(response, 429, "audio_quota_exceeded")


async def test_a_key_may_ask_so_often_and_others_are_not_kept_waiting(serve, clock, tmp_path):
    clock.stop()
    alice, bob = keys_of(tmp_path, "alice", "bob")
    async with serve(max_requests_per_minute=3) as service:
        for _ in range(3):
            assert (await service.client.get("/jobs", headers=alice)).status_code == 200
        for path in ("/jobs", "/models", f"/jobs/{new_job_id()}"):
            response = await service.client.get(path, headers=alice)
            assert_problem(response, 429, "rate_limited")
            assert 1 <= int(response.headers["retry-after"]) <= 60
        assert (await service.client.get("/jobs", headers=bob)).status_code == 200
        assert (await service.client.get("/healthz", headers=alice)).status_code == 200


class TestSentTwice:
    async def test_a_retry_with_a_key_is_done_once(self, service: Service):
        job = await service.post()
        service.worker.fail(job["id"])
        headers = {"Idempotency-Key": "once"}
        first = await service.client.post(job["urls"]["retry"], headers=headers)
        again = await service.client.post(job["urls"]["retry"], headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        service.worker.fail(job["id"])
        response = await service.client.post(job["urls"]["retry"], headers=headers)
        assert response.json()["status"] == "failed"
        response = await service.client.post(
            job["urls"]["retry"], headers={"Idempotency-Key": "twice"}
        )
        assert response.json()["status"] == "queued"

    async def test_a_retry_that_is_refused_may_be_tried_with_its_key_again(self, service: Service):
        job = await service.post()
        headers = {"Idempotency-Key": "once"}
        response = await service.client.post(job["urls"]["retry"], headers=headers)
        assert_problem(response, 409, "job_not_retryable")
        service.worker.fail(job["id"])
        response = await service.client.post(job["urls"]["retry"], headers=headers)
        assert response.json()["status"] == "queued"

    async def upload(self, service: Service, content: bytes, key: str, name: str = "a.wav", **more):
        headers = {"Idempotency-Key": key, **more}
        return await service.client.post(
            "/assets", files={"file": (name, content)}, headers=headers
        )

    async def test_a_file_that_is_sent_again_is_the_same_asset(self, service: Service):
        first = await self.upload(service, encoded(tone()), "k")
        again = await self.upload(service, encoded(tone()), "k")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        assert again.json() == first.json()
        other = await send(service, encoded(tone()), "a.wav")
        assert other.json()["id"] != first.json()["id"]

    async def test_another_file_with_the_same_key_is_refused(self, service: Service):
        await self.upload(service, encoded(tone()), "k")
        response = await self.upload(service, encoded(tone(2.0)), "k")
        assert_problem(response, 422, "idempotency_key_reused")
        assert len(list((service.data_dir / "assets").iterdir())) == 1

    async def test_a_key_of_a_deleted_asset_makes_a_new_one(self, service: Service):
        first = (await self.upload(service, encoded(tone()), "k")).json()
        await service.client.delete(first["urls"]["self"])
        again = await self.upload(service, encoded(tone()), "k")
        assert (again.status_code, again.json()["id"] != first["id"]) == (201, True)

    async def test_of_many_at_once_one_is_taken_in(self, service: Service):
        calls = [self.upload(service, encoded(tone()), "k") for _ in range(5)]
        responses = await asyncio.gather(*calls)
        assert sorted(response.status_code for response in responses) == [200] * 4 + [201]
        assert len({response.json()["id"] for response in responses}) == 1
        assert len(list((service.data_dir / "assets").iterdir())) == 1

    async def test_keys_of_jobs_assets_and_retries_are_apart(self, service: Service):
        asset = await self.upload(service, encoded(tone()), "k")
        headers = {"Idempotency-Key": "k"}
        job = await service.client.post("/jobs", json=song(), headers=headers)
        assert (asset.status_code, job.status_code) == (201, 202)
        service.worker.fail(job.json()["id"])
        response = await service.client.post(job.json()["urls"]["retry"], headers=headers)
        assert "idempotent-replayed" not in response.headers


async def test_a_full_disk_is_a_507_that_says_when_to_come_back(
    service: Service, tmp_path, monkeypatch
):
    child = tmp_path / "child"
    child.write_text("#!/bin/sh\necho No space left on device >&2; exit 74\n")
    child.chmod(0o700)
    job = await service.post(levels=["top"])
    service.worker.sing(job["id"])
    monkeypatch.setattr("sys.executable", str(child))
    responses = [
        await send(service, encoded(tone()), "a.wav"),
        await service.client.get(job["urls"]["audio"], params={"format": "flac"}),
    ]
    for response in responses:
        assert_problem(response, 507, "storage_failed")
        assert int(response.headers["retry-after"]) >= 1
    assert files_below(service.data_dir / "assets") == []
