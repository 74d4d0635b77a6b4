"""Clients that wait, over real connections: room for so many, and who leaves is let go."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from jobs.api_keys import FILE_NAME, ApiKeyFile, Scope
from tests.api.conftest import assert_problem, song, waiting_at_the_store
from tests.api.test_process import ApiProcess, running

pytestmark = [pytest.mark.redis]

AT_ONCE_SEC = 50.0
"""On a busy machine; the wait that is cut short here would last a minute."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crowded")


@pytest.fixture(scope="module")
def process(redis_url: str, models_dir: Path, data_dir: Path) -> Iterator[ApiProcess]:
    room = {"JUKEBOX_LIMITS": "max_streams=3,max_streams_per_key=2"}
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        # The token of another test's data folder may be there.
        client.flushall()
    with running(redis_url, models_dir, data_dir, **room) as api:
        yield api


@pytest.fixture
def crowded(process: ApiProcess, clean_redis_url: str) -> ApiProcess:
    """Room for three who wait, two of each key; nobody waits yet, and nothing is asked for."""
    until(lambda: waiting_at_the_store(clean_redis_url) == 0)
    return process


def until(condition, timeout_sec: float = 50.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_sec
        time.sleep(0.01)
    return time.monotonic() - began


def ask(api: ApiProcess, path: str) -> socket.socket:
    """Send a request and do not wait for its answer."""
    client = socket.create_connection(("127.0.0.1", api.client.base_url.port or 80), timeout=60)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("what", ["?wait=60", "/events"])
@pytest.mark.parametrize("farewell", ["close", "reset"])
def test_whoever_leaves_gives_the_connection_to_the_store_back_at_once(
    crowded: ApiProcess, clean_redis_url: str, what: str, farewell: str
):
    # Of different jobs: those who wait for the same one share a connection.
    jobs = [crowded.client.post("/jobs", json=song()).json() for _ in range(3)]
    for _ in range(3):
        clients = [ask(crowded, f"/jobs/{job['id']}{what}") for job in jobs]
        until(lambda: waiting_at_the_store(clean_redis_url) == 3)
        for client in clients:
            if farewell == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        assert until(lambda: waiting_at_the_store(clean_redis_url) == 0) < AT_ONCE_SEC
    # And the places are free: the cap would refuse them otherwise.
    until(lambda: crowded.client.get(f"/jobs/{jobs[0]['id']}?wait=0.1").status_code == 200)


def test_who_waits_in_peace_hears_of_the_change(crowded: ApiProcess, clean_redis_url: str):
    job = crowded.client.post("/jobs", json=song()).json()
    with ask(crowded, f"/jobs/{job['id']}?wait=60") as client:
        until(lambda: waiting_at_the_store(clean_redis_url) == 1)
        crowded.client.post(job["urls"]["cancel"])
        answer = b""
        while b'"canceled"' not in answer:
            part = client.recv(65_536)
            assert part, answer
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")


def test_there_is_room_for_so_many_in_all(crowded: ApiProcess):
    job = crowded.client.post("/jobs", json=song()).json()
    path = f"/jobs/{job['id']}"
    with ExitStack() as stack:
        for _ in range(3):
            response = stack.enter_context(crowded.client.stream("GET", f"{path}/events"))
            assert response.status_code == 200
        for more in (f"{path}/events", f"{path}?wait=5"):
            response = crowded.client.get(more)
            assert_problem(response, 429, "too_many_streams")
            assert int(response.headers["retry-after"]) >= 1
        assert crowded.client.get(path).status_code == 200
    until(lambda: crowded.client.get(f"{path}?wait=0.05").status_code == 200)


@pytest.fixture
def keys(data_dir: Path) -> Iterator[ApiKeyFile]:
    """Gone again after the test, so that the service is open to all."""
    yield ApiKeyFile(data_dir)
    (data_dir / FILE_NAME).unlink()


def test_a_key_has_only_so_many_of_them(crowded: ApiProcess, keys: ApiKeyFile):
    tokens = [keys.create(name, [Scope.SUBMIT, Scope.READ])[1] for name in ("alice", "bob")]
    alice, bob = ({"Authorization": f"Bearer {token}"} for token in tokens)

    def open_stream(stack: ExitStack, headers: dict[str, str]) -> httpx.Response:
        job = crowded.client.post("/jobs", json=song(), headers=headers).json()
        return stack.enter_context(
            crowded.client.stream("GET", job["urls"]["events"], headers=headers)
        )

    with ExitStack() as stack:
        for _ in range(2):
            assert open_stream(stack, alice).status_code == 200
        assert open_stream(stack, alice).status_code == 429
        assert open_stream(stack, bob).status_code == 200


def test_a_stream_that_ends_by_itself_leaves_its_place(crowded: ApiProcess):
    job = crowded.client.post("/jobs", json=song()).json()
    crowded.client.post(job["urls"]["cancel"])
    for _ in range(5):
        assert crowded.client.get(job["urls"]["events"]).status_code == 200
