"""A revoked key gets no more of anything that it was being answered with."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from jobs.api_keys import ApiKeyFile, Scope
from tests.api.conftest import song, waiting_at_the_store
from tests.api.test_process import running

pytestmark = pytest.mark.redis

SOON_SEC = 50.0
"""Nobody works on the job, so nothing else ends a stream; the service looks every two seconds."""


@pytest.fixture
def api(clean_redis_url, models_dir, tmp_path):
    keys = ApiKeyFile(tmp_path)
    _, token = keys.create("alice", (Scope.SUBMIT, Scope.READ))
    _, other = keys.create("bob", (Scope.ADMIN,))
    with running(clean_redis_url, models_dir, tmp_path) as process:
        process.keys, process.redis_url = keys, clean_redis_url
        process.alice = {"Authorization": f"Bearer {token}"}
        process.bob = {"Authorization": f"Bearer {other}"}
        yield process


@pytest.mark.parametrize("path", ["/jobs/{id}/events", "/events"])
def test_an_event_stream_ends_soon_after_its_key_is_revoked_and_others_go_on(api, path: str):
    job = api.client.post("/jobs", json=song(), headers=api.alice).json()
    path = path.format(id=job["id"])
    has_begun = threading.Event()

    def listen() -> None:
        with api.client.stream("GET", path, headers=api.alice) as response:
            for _ in response.iter_lines():
                has_begun.set()

    listener = threading.Thread(target=listen)
    listener.start()
    with api.client.stream("GET", path, headers=api.bob) as others:
        lines = others.iter_lines()
        assert next(lines) in ("event: snapshot", "event: reset")
        assert has_begun.wait(SOON_SEC)
        api.keys.revoke("alice")
        listener.join(SOON_SEC)
        assert not listener.is_alive()
        api.client.post(f"/jobs/{job['id']}/cancel", headers=api.bob)
        assert any("canceled" in line for line in lines)
    assert "Traceback" not in api.log.read_text()


def test_a_long_poll_of_a_revoked_key_is_a_401(api):
    job = api.client.post("/jobs", json=song(), headers=api.alice).json()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(
            httpx.get,
            api.client.base_url.join(f"/jobs/{job['id']}?wait=60"),
            headers=api.alice,
            timeout=120,
            trust_env=False,
        )
        while not waiting_at_the_store(api.redis_url):
            time.sleep(0.05)
        api.keys.revoke("alice")
        began = time.monotonic()
        assert poll.result().status_code == 401
        assert time.monotonic() - began < SOON_SEC
