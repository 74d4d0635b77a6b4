"""Connections that send nothing, or next to nothing, do not keep others out."""

import resource
import socket
import threading
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from api.web import connections
from api.web.connections import TooFewDescriptors, plan_connections
from tests.api.conftest import song
from tests.api.test_process import ApiProcess, running

pytestmark = pytest.mark.redis

NUM_IDLE, NUM_SLOW, FEW_DESCRIPTORS = 1200, 24, 1024


@pytest.fixture
def many_descriptors():
    """This process needs more of them than the server may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(api: ApiProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.client.base_url.port), timeout=60)


@contextmanager
def slow_senders(api: ApiProcess, stack: ExitStack):
    """Each sends one more byte of a head again and again."""
    over = threading.Event()
    senders = [stack.enter_context(connect(api)) for _ in range(NUM_SLOW)]

    def drip() -> None:
        while not over.wait(0.2):
            for each in senders:
                try:
                    each.send(b"G")
                except OSError:
                    continue

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_others_are_served_beside_1200_silent_and_24_slow_connections(
    many_descriptors, clean_redis_url, models_dir, tmp_path
):
    with (
        running(clean_redis_url, models_dir, tmp_path, max_descriptors=FEW_DESCRIPTORS) as api,
        ExitStack() as stack,
    ):
        for _ in range(NUM_IDLE):
            stack.enter_context(connect(api))
        with slow_senders(api, stack):
            for _ in range(21):  # each with a connection of its own
                url = api.client.base_url.join("/healthz")
                assert httpx.get(url, timeout=60, trust_env=False).status_code == 200
        assert api.log.stat().st_size < 100_000
        assert "Traceback" not in api.log.read_text()


@pytest.mark.parametrize("num_before", [0, 1], ids=["first", "pipelined"])
def test_a_request_being_answered_is_not_cut_off_for_new_connections(
    num_before, many_descriptors, clean_redis_url, models_dir, tmp_path
):
    """Requests that were sent with it, and answered before, do not make its connection idle."""
    with (
        running(clean_redis_url, models_dir, tmp_path, max_descriptors=FEW_DESCRIPTORS) as api,
        ExitStack() as stack,
    ):
        job = api.client.post("/jobs", json=song()).json()
        waiting = stack.enter_context(connect(api))
        paths = ["/healthz"] * num_before + [f"/jobs/{job['id']}?wait=20"]
        waiting.sendall(
            "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths).encode()
        )
        before = b""
        while before.count(b'"ok"') < num_before:
            part = waiting.recv(10_000)
            assert part, before
            before += part
        assert httpx.get(api.client.base_url.join("/healthz"), trust_env=False).is_success
        for _ in range(NUM_IDLE):
            stack.enter_context(connect(api))
        # Not over a connection that is kept alive: by now it has made room for others.
        cancel = api.client.base_url.join(f"/jobs/{job['id']}/cancel")
        assert httpx.post(cancel, timeout=60, trust_env=False).status_code == 200
        assert waiting.recv(100).startswith(b"HTTP/1.1 200")


def test_the_soft_limit_is_raised_and_places_are_counted_from_it(monkeypatch):
    raised = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert plan_connections() == (4096 - 256) // 2
    assert raised == [(4096, 4096)]


def test_a_process_that_may_open_next_to_nothing_does_not_start(monkeypatch):
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (128, 128))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda *_: None)
    with pytest.raises(TooFewDescriptors, match=r"may open 128 files, and needs 384"):
        plan_connections()
