"""One message to a real receiver, and to what pretends to be one."""

import asyncio
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from jobs.errors import WebhookUrlRefused
from jobs.record.webhook_messages import WebhookMessage
from jobs.webhooks.post import PostFailed
from jobs.webhooks.sender import Sender, SystemResolver
from jobs.webhooks.signing import WebhookSecrets
from tests.fixtures.webhook_receiver import make_certificate, receiving

pytestmark = pytest.mark.anyio
NAME = "hooks.example"


@pytest.fixture
def anyio_backend():
    return "asyncio"


def message(url, *, owner="alice"):
    return WebhookMessage(
        id="msg_1",
        type="job.succeeded",
        job_id="job_" + "0" * 32,
        url=url,
        owner=owner,
        created_at=datetime.now(UTC),
        status="succeeded",
        stage="render",
        level=None,
        error=None,
        attempt=1,
        claimed_at=datetime.now(UTC),
    )


class Names:
    """A resolver that tells what the test says, and notes what it was asked."""

    def __init__(self, *addresses):
        self.addresses, self.asked = list(addresses), []

    async def __call__(self, host, port):
        self.asked.append(host)
        return self.addresses


def sender(tmp_path, *, names=None, hosts=(), timeout_sec=30.0):
    return Sender(
        WebhookSecrets(tmp_path),
        names if names is not None else SystemResolver(2),
        allowed_hosts=hosts,
        public_url="",
        timeout_sec=timeout_sec,
    )


async def test_a_receiver_with_the_official_library_believes_what_comes(tmp_path):
    (secret,) = WebhookSecrets(tmp_path).of("alice")
    with receiving() as receiver:
        answer = await sender(tmp_path, hosts=[receiver.address]).send(message(receiver.url))
        [request] = receiver.wait_for(1)
    assert answer.status == 200
    assert request.path == "/hooks/songs?from=jukebox"
    assert request.headers["Host"] == receiver.address
    assert request.headers["Content-Type"] == "application/json"
    event = request.verified(secret)
    assert event["type"] == "job.succeeded"
    assert event["data"]["id"] == "job_" + "0" * 32


async def test_every_name_is_believed_by_its_certificate_only(tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path, NAME)
    names = Names("127.0.0.1")
    with receiving(certificate) as receiver:
        url = f"https://{NAME}:{receiver.port}/"
        hosts = [NAME, "other.example"]
        with pytest.raises(PostFailed, match="certificate"):
            await sender(tmp_path, names=names, hosts=hosts).send(message(url))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await sender(tmp_path, names=names, hosts=hosts).send(message(url))).status == 200
        other = message(f"https://other.example:{receiver.port}/")
        with pytest.raises(PostFailed, match="certificate"):
            await sender(tmp_path, names=names, hosts=hosts).send(other)
        assert len(receiver.received) == 1
        assert receiver.received[0].headers["Host"] == f"{NAME}:{receiver.port}"


@pytest.mark.parametrize("found", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["::1"], []])
async def test_a_public_name_that_leads_inside_is_never_connected_to(tmp_path, found):
    with receiving() as receiver:
        url = f"https://{NAME}:{receiver.port}/"
        with pytest.raises(WebhookUrlRefused):
            await sender(tmp_path, names=Names(*found)).send(message(url))
        assert receiver.received == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(tmp_path, monkeypatch):
    """Between the look-up and the connection nobody is asked again."""
    names = Names("127.0.0.1")

    def ask_again(*arguments, **_):
        raise AssertionError(f"looked up once more: {arguments}")

    with receiving() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", ask_again)
        url = f"http://{NAME}:{receiver.port}/"
        await sender(tmp_path, names=names, hosts=[NAME]).send(message(url))
        assert len(receiver.wait_for(1)) == 1
    assert names.asked == [NAME]


async def test_an_address_that_does_not_answer_is_passed_over(tmp_path):
    with receiving() as receiver:
        url = f"http://{NAME}:{receiver.port}/"
        names = Names("127.0.0.2", "127.0.0.1")
        answer = await sender(tmp_path, names=names, hosts=[NAME]).send(message(url))
    assert answer.status == 200


async def test_a_redirect_is_an_answer_and_is_not_followed(tmp_path):
    with receiving() as inside, receiving() as receiver:
        receiver.answers = [(302, {"Location": inside.url})]
        hosts = [receiver.address, inside.address]
        answer = await sender(tmp_path, hosts=hosts).send(message(receiver.url))
        assert answer.status == 302
        assert inside.received == []


async def test_no_proxy_of_the_environment_is_asked(tmp_path, monkeypatch):
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        await sender(tmp_path, hosts=[receiver.address]).send(message(receiver.url))
        assert (len(receiver.received), len(proxy.received)) == (1, 0)


async def test_the_time_that_a_receiver_wants_is_heard(tmp_path):
    with receiving() as receiver:
        receiver.answers = [(503, {"Retry-After": "120"})]
        answer = await sender(tmp_path, hosts=[receiver.address]).send(message(receiver.url))
    assert (answer.status, answer.retry_after_sec) == (503, 120.0)


@contextmanager
def peer(talk):
    """A server that says what it likes on each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                # The thread is waited for by the loop that would close the other end.
                connection.settimeout(5.0)
                try:
                    talk(connection, stopped)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def say(*parts):
    return say_all_of(parts)


def say_all_of(parts, *, pause_sec=0.0):
    def talk(connection, stopped):
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)
            if stopped.wait(pause_sec):
                return

    return talk


async def attempt(tmp_path, address, *, timeout_sec=30.0, scheme="http"):
    target = message(f"{scheme}://{address}/")
    return await sender(tmp_path, hosts=[address], timeout_sec=timeout_sec).send(target)


async def test_an_interim_answer_is_not_the_answer(tmp_path):
    parts = [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"]
    with peer(say(*parts)) as address:
        assert (await attempt(tmp_path, address)).status == 204


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"\0" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
    ],
    ids=["nothing", "ssh", "no status", "http 2", "broken off", "zeros", "too long"],
)
async def test_what_is_no_answer_of_http_is_a_failure(tmp_path, answer):
    with peer(say(answer)) as address, pytest.raises(PostFailed):
        await attempt(tmp_path, address)


async def test_a_body_without_end_is_not_read(tmp_path):
    with peer(say(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 1000)) as address:
        assert (await attempt(tmp_path, address)).status == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_receiver_that_dawdles_is_left_when_the_time_is_over(tmp_path, scheme):
    drops = [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100]
    left = iter(drops)
    with peer(say_all_of(left, pause_sec=0.05)) as address, pytest.raises(PostFailed):
        await attempt(tmp_path, address, timeout_sec=0.5, scheme=scheme)
    assert next(left, None) is not None, "all its drops would take half a minute"


async def test_nobody_there_is_a_failure(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(PostFailed, match="no connection"):
        await attempt(tmp_path, address)


async def test_a_name_that_does_not_exist_is_a_failure(tmp_path):
    with pytest.raises(PostFailed, match="looked up"):
        await sender(tmp_path).send(message("https://nowhere.invalid/"))


async def test_a_name_that_takes_for_ever_costs_an_attempt_and_no_more(tmp_path):
    async def never(host, port):
        await asyncio.sleep(60)

    with pytest.raises(PostFailed, match="in time"):
        await sender(tmp_path, names=never, timeout_sec=0.2).send(message(f"https://{NAME}/"))


async def test_plain_http_is_only_for_hosts_that_the_operator_named(tmp_path):
    with receiving() as receiver:
        with pytest.raises(WebhookUrlRefused):
            await sender(tmp_path).send(message(receiver.url))
        assert receiver.received == []


def test_tls_checks_names_and_certificates(tmp_path):
    context = sender(tmp_path)._tls
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
