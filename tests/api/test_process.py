"""`python -m api`, as a process on a port of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api.__main__ import main
from cli.local.stack import free_port
from jobs.api_keys import FILE_NAME, ApiKeyFile, Scope
from jobs.files.local_artifacts import LocalArtifacts
from jobs.store import JobStore
from tests.api.conftest import song
from tests.api.scripted_worker import ScriptedWorker
from tests.api.sse import Event, read_events

pytestmark = pytest.mark.redis

PATIENCE_SEC = 120.0


def environment(**settings: str) -> dict[str, str]:
    """Nothing of this machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUKEBOX_")}
    kept.pop("REDIS_URL", None)
    return kept | settings


class ApiProcess:
    """The process, a client, and a worker that the test plays."""

    def __init__(
        self,
        redis_url: str,
        models_dir: Path,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        max_descriptors: int | None = None,
        **settings: str,
    ) -> None:
        limits = [] if max_descriptors is None else ["prlimit", f"--nofile={max_descriptors}"]
        port = free_port()
        self.log = data_dir / "api.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*limits, sys.executable, "-m", "api"],
                env=environment(
                    REDIS_URL=redis_url,
                    JUKEBOX_DATA_DIR=str(data_dir),
                    JUKEBOX_MODELS_DIR=str(models_dir),
                    JUKEBOX_HOST=host,
                    JUKEBOX_PORT=str(port),
                    JUKEBOX_LOG_FORMAT="json",
                    **settings,
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False
        )
        self.store = JobStore(redis_url)
        self.worker = ScriptedWorker(self.store, LocalArtifacts(data_dir / "artifacts"))

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_SEC)
        finally:
            self.process.kill()
            self.process.wait()
            self.client.close()
            self.store.close()


@contextmanager
def running(*arguments: Any, **settings: Any) -> Iterator[ApiProcess]:
    """A process that answers; ended with the block."""
    api = ApiProcess(*arguments, **settings)
    try:
        api.wait_until_ready()
        yield api
    finally:
        api.stop()


@pytest.fixture(scope="module")
def shared_api(
    redis_url: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        client.flushall()
    with running(redis_url, models_dir, tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(shared_api: ApiProcess, clean_redis_url: str) -> ApiProcess:
    """One process for all tests here, over an empty store; it must not be stopped."""
    return shared_api


class Listener(threading.Thread):
    """Hears a stream while it runs, and remembers when each event came."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        super().__init__(daemon=True)
        self._client, self._url = client, url
        self.events: list[Event] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with self._client.stream("GET", self._url, timeout=PATIENCE_SEC) as response:
                for event in read_events(response.iter_lines()):
                    self.events.append(event)
        except httpx.TransportError as error:
            self.error = error

    def wait_for(self, kind: str, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_SEC
        while sum(event.kind == kind for event in self.events) < count:
            assert time.monotonic() < deadline, [event.kind for event in self.events]
            time.sleep(0.02)


def test_a_song_is_followed_live_over_a_real_connection(api: ApiProcess):
    job = api.client.post("/jobs", json=song()).json()
    listener = Listener(api.client, job["urls"]["events"])
    listener.start()
    listener.wait_for("snapshot")
    claim = api.worker.claim(job["id"])
    listener.wait_for("status")
    api.worker.report(claim, "top", 100, 0.1)
    listener.wait_for("progress")
    api.worker.finish_level(claim)
    listener.wait_for("output")
    api.client.post(job["urls"]["cancel"])
    listener.join(PATIENCE_SEC)
    assert not listener.is_alive()
    assert listener.events[-1].data["job"]["status"] == "canceled"

    sound = api.client.get(job["urls"]["audio"])
    assert sound.status_code == 200
    assert sound.headers["content-type"] == "audio/wav"
    part = api.client.get(job["urls"]["audio"], headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    head = api.client.head(job["urls"]["audio"])
    assert head.headers["content-length"] == sound.headers["content-length"]


def test_listeners_that_hang_up_confuse_nobody(api: ApiProcess):
    """A wait that is cut short must not leave its answer for the next user of the connection."""
    job = api.client.post("/jobs", json=song()).json()
    for _ in range(10):
        with api.client.stream("GET", job["urls"]["events"]) as response:
            assert next(response.iter_lines()) == "event: snapshot"
    claim = api.worker.claim(job["id"])
    api.worker.report(claim, "top", 100, 0.1)

    listener = Listener(api.client, job["urls"]["events"])
    listener.start()
    listener.wait_for("snapshot")
    api.worker.report(claim, "top", 200, 0.2)
    listener.wait_for("progress")
    assert [event.data["value"] for event in listener.events if event.kind == "progress"] == [0.2]
    api.client.post(job["urls"]["cancel"])
    api.store.cancel(claim)
    listener.join(PATIENCE_SEC)
    assert listener.events[-1].data["status"] == "canceled"
    assert "Traceback" not in api.log.read_text()


def test_of_many_posts_at_once_with_one_idempotency_key_exactly_one_makes_a_job(api: ApiProcess):
    barrier = threading.Barrier(12)

    def post(_: int) -> httpx.Response:
        barrier.wait()
        return api.client.post("/jobs", json=song(), headers={"Idempotency-Key": "k"})

    with ThreadPoolExecutor(12) as threads:
        responses = list(threads.map(post, range(12)))
    assert sorted(response.status_code for response in responses) == [200] * 11 + [202]
    assert len({response.json()["id"] for response in responses}) == 1
    assert sum(api.store.counts().values()) == 1


def test_bad_bytes_on_the_wire_are_4xx_and_the_service_lives_on(api: ApiProcess):
    json_type = {"content-type": "application/json"}
    huge = api.client.post("/jobs", content=b" " * 2_000_000, headers=json_type)
    assert huge.status_code == 413
    assert huge.headers["content-type"] == "application/problem+json"
    deep = api.client.post("/jobs", content=b"[" * 200_000, headers=json_type)
    assert deep.json()["code"] == "malformed_json"
    latin = api.client.post("/jobs", content=b'{"artist": "\xe9"}', headers=json_type)
    assert latin.json()["code"] == "not_utf8"
    path = api.client.get("/jobs/..%2f..%2fetc%2fpasswd")
    assert path.status_code == 404
    assert api.client.get("/readyz").status_code == 200
    assert api.client.get("/jobs").json()["data"] == []


def test_a_stop_does_not_wait_for_those_who_listen(
    clean_redis_url: str, models_dir: Path, tmp_path: Path
):
    with running(clean_redis_url, models_dir, tmp_path) as api:
        job = api.client.post("/jobs", json=song()).json()
        listener = Listener(api.client, job["urls"]["events"])
        listener.start()
        listener.wait_for("snapshot")
        api.process.send_signal(signal.SIGTERM)
        api.process.wait(PATIENCE_SEC)  # nobody works on the job: a listener may listen for ever
        listener.join(PATIENCE_SEC)
        assert not listener.is_alive()
        assert "Traceback" not in api.log.read_text()


def test_no_lyrics_and_no_password_in_the_log(api: ApiProcess):
    api.client.post("/jobs", json=song(lyrics="a very secret refrain"))
    api.client.post("/jobs", json=song(lyrics="a very secret refrain", seed=-1))
    assert "secret refrain" not in api.log.read_text()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "REDIS_URL"),
        ({"REDIS_URL": "http://example.org"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://localhost", "JUKEBOX_PORT": "99999"}, "JUKEBOX_PORT"),
        ({"REDIS_URL": "redis://localhost", "JUKEBOX_PORT": "http"}, "JUKEBOX_PORT"),
        ({"REDIS_URL": "redis://localhost", "JUKEBOX_LOG_FORMAT": "xml"}, "JUKEBOX_LOG_FORMAT"),
    ],
    ids=str,
)
def test_impossible_settings_refuse_to_start_with_a_sentence(
    settings: dict[str, str], named: str, tmp_path: Path
):
    process = subprocess.run(
        [sys.executable, "-m", "api"],
        env=environment(**settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SEC,
        check=False,
    )
    assert process.returncode != 0
    assert named in process.stderr
    assert "Traceback" not in process.stderr


def refusal(host: str, data_dir: Path) -> str:
    """What a service says that listens at `host` and does not start."""
    process = subprocess.run(
        [sys.executable, "-m", "api"],
        env=environment(
            REDIS_URL="redis://localhost:1",
            JUKEBOX_HOST=host,
            JUKEBOX_PORT=str(free_port()),
            JUKEBOX_DATA_DIR=str(data_dir),
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SEC,
        check=False,
    )
    assert process.returncode != 0
    assert "Traceback" not in process.stderr
    return process.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "songs.example"])
def test_a_service_that_others_reach_does_not_start_without_a_key(host: str, tmp_path: Path):
    sentence = refusal(host, tmp_path)
    assert f"JUKEBOX_HOST={host} lets others in" in sentence
    assert "jukebox keys create" in sentence


def test_a_revoked_key_is_no_key_to_start_with(tmp_path: Path):
    keys = ApiKeyFile(tmp_path)
    keys.create("alice", [Scope.READ])
    keys.revoke("alice")
    assert "no API key" in refusal("0.0.0.0", tmp_path)


def test_a_service_that_cannot_read_its_keys_does_not_start(tmp_path: Path):
    (tmp_path / FILE_NAME).write_text("{")
    assert "cannot be read" in refusal("127.0.0.1", tmp_path)


def test_a_service_with_a_key_listens_wherever_it_should(
    clean_redis_url: str, models_dir: Path, tmp_path: Path
):
    _, token = ApiKeyFile(tmp_path).create("alice", [Scope.READ])
    with running(clean_redis_url, models_dir, tmp_path, host="0.0.0.0") as api:
        assert api.client.get("/jobs").status_code == 401
        authorization = {"Authorization": f"Bearer {token}"}
        assert api.client.get("/jobs", headers=authorization).status_code == 200
        assert token not in api.log.read_text()


def test_the_api_imports_no_torch_and_no_worker():
    code = (
        "import sys, api.app, api.asgi, api.__main__\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(found & {'torch', 'accelerate', 'transformers', 'worker', 'cli'}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SEC,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_a_bucket_that_cannot_be_used_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("JUKEBOX_DATA_DIR", "s3://bucket/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(SystemExit, match="JUKEBOX_DATA_DIR: AWS_ENDPOINT_URL is no URL"):
        main()
