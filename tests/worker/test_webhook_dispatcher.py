"""What becomes of each message: delivered, tried again, given up, and never forgotten."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager

import pytest

from jobs.errors import WebhookUrlRefused
from jobs.record.webhook_messages import Outcome
from jobs.store import JobStore
from jobs.webhooks.dispatcher import Dispatcher
from jobs.webhooks.outbox import RedisWebhookOutbox
from jobs.webhooks.post import Answer, PostFailed
from jobs.webhooks.sender import Sender, SystemResolver
from jobs.webhooks.signing import WebhookSecrets
from tests.fixtures.webhook_receiver import receiving
from tests.jobs.records import created

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def store(clean_redis_url):
    store = JobStore(clean_redis_url)
    yield store
    store.close()


@pytest.fixture
def outbox(clean_redis_url):
    outbox = RedisWebhookOutbox(clean_redis_url)
    yield outbox
    outbox.close()


class ScriptedSender:
    """Answers in the given order, the last one for ever.

    An exception is raised; an event is waited for, and then the answer is 200.
    """

    def __init__(self, *answers):
        self.answers, self.sent, self.num_at_once, self.most_at_once = list(answers), [], 0, 0

    async def send(self, message):
        self.sent.append(message)
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, asyncio.Event):
                await answer.wait()
                return Answer(status=200)
            return answer if isinstance(answer, Answer) else Answer(status=answer)
        finally:
            self.num_at_once -= 1


def tell(store, url="https://studio.example/hooks?token=very-secret"):
    """A job that is over at once, and says so."""
    job = created(store, webhook_url=url)
    store.request_cancel(job.id)
    return job


@asynccontextmanager
async def dispatching(outbox, sender, tmp_path, **changes):
    options = {
        "concurrency": 4,
        "retries_after_sec": (0.05, 0.05),
        "lease_sec": 300.0,
        "health_file": tmp_path / "alive",
        **changes,
    }
    stopping = asyncio.Event()
    task = asyncio.create_task(Dispatcher(outbox, sender, **options).run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await task


async def until(is_true, timeout_sec=60.0):
    deadline = time.monotonic() + timeout_sec
    while not await asyncio.to_thread(is_true):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def ended(outbox, outcome, number=1):
    return lambda: outbox.figures().attempts[outcome] >= number


async def test_a_message_is_delivered_to_a_real_receiver_and_forgotten(store, outbox, tmp_path):
    secrets = WebhookSecrets(tmp_path)
    with receiving() as receiver:
        sender = Sender(
            secrets,
            SystemResolver(1),
            allowed_hosts=[receiver.address],
            public_url="https://songs.example",
            timeout_sec=30.0,
        )
        job = tell(store, receiver.url)
        async with dispatching(outbox, sender, tmp_path):
            await until(ended(outbox, Outcome.DELIVERED))
            assert (tmp_path / "alive").exists()
        event = receiver.received[0].verified(secrets.of(None)[0])
    assert len(receiver.received) == 1
    assert event["type"] == "job.canceled"
    assert event["data"]["urls"]["self"] == f"https://songs.example/jobs/{job.id}"
    assert outbox.figures().pending == 0
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize("failure", [500, 302, 404, 429, PostFailed("no connection"), ValueError()])
async def test_what_failed_is_sent_again_until_it_is_taken(store, outbox, tmp_path, failure):
    tell(store)
    sender = ScriptedSender(failure, failure, 204)
    async with dispatching(outbox, sender, tmp_path):
        await until(ended(outbox, Outcome.DELIVERED))
    assert [message.attempt for message in sender.sent] == [1, 2, 3]
    assert len({message.id for message in sender.sent}) == 1
    assert outbox.figures().attempts[Outcome.RETRIED] == 2
    assert outbox.figures().pending == 0


async def test_after_the_last_attempt_a_message_is_given_up(store, outbox, tmp_path):
    tell(store)
    sender = ScriptedSender(500)
    async with dispatching(outbox, sender, tmp_path):
        await until(ended(outbox, Outcome.EXHAUSTED))
    assert len(sender.sent) == 3
    assert outbox.figures().pending == 0


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(410, Outcome.GONE), (WebhookUrlRefused("leads inside"), Outcome.REFUSED)],
)
async def test_what_will_never_be_taken_is_given_up_at_once(
    store, outbox, tmp_path, answer, outcome
):
    tell(store)
    sender = ScriptedSender(answer)
    async with dispatching(outbox, sender, tmp_path):
        await until(ended(outbox, outcome))
    assert len(sender.sent) == 1
    assert outbox.figures().pending == 0


async def test_waits_differ_by_chance_and_a_receiver_may_ask_for_longer(store, outbox, tmp_path):
    waits = []
    settle = outbox.settle

    def noting(message, outcome, *, retry_in_sec):
        waits.append(retry_in_sec)
        settle(message, outcome, retry_in_sec=retry_in_sec)

    outbox.settle = noting
    chances = iter([0.0, 0.5, 0.999])
    answers = [500, 500, Answer(status=503, retry_after_sec=7200.0)]
    for _ in answers:
        tell(store)
    options = {"retries_after_sec": (100.0,), "concurrency": 2, "chance": lambda: next(chances)}
    async with dispatching(outbox, ScriptedSender(*answers, 500), tmp_path, **options):
        await until(ended(outbox, Outcome.RETRIED, 3))
    assert waits == [pytest.approx(80.0), pytest.approx(100.0), 7200.0]


async def test_no_more_are_on_their_way_at_once_than_was_said(store, outbox, tmp_path):
    for _ in range(12):
        tell(store)
    go_on = asyncio.Event()
    sender = ScriptedSender(go_on)
    async with dispatching(outbox, sender, tmp_path, concurrency=3):
        await until(lambda: sender.num_at_once == 3)
        go_on.set()
        await until(ended(outbox, Outcome.DELIVERED, 12))
    assert sender.most_at_once == 3
    assert len(sender.sent) == 12


async def test_who_is_told_to_stop_gives_back_what_takes_too_long(
    store, outbox, tmp_path, monkeypatch
):
    monkeypatch.setattr("jobs.webhooks.dispatcher.STOP_SEC", 0.1)
    tell(store)
    sender = ScriptedSender(asyncio.Event())
    async with dispatching(outbox, sender, tmp_path):
        await until(lambda: sender.num_at_once == 1)
    [message] = outbox.claim(limit=9, lease_sec=1.0, per_owner=9, held={})
    assert message.attempt == 1


async def test_two_dispatchers_send_each_message_once(store, outbox, tmp_path, clean_redis_url):
    other = RedisWebhookOutbox(clean_redis_url)
    for _ in range(20):
        tell(store)
    sender = ScriptedSender(200)
    async with (
        dispatching(outbox, sender, tmp_path),
        dispatching(other, sender, tmp_path, health_file=tmp_path / "other"),
    ):
        await until(ended(outbox, Outcome.DELIVERED, 20))
    assert len({message.id for message in sender.sent}) == len(sender.sent) == 20
    other.close()


async def test_a_store_that_comes_back_finds_nothing_lost(redis_server, tmp_path):
    store, outbox = JobStore(redis_server.url), RedisWebhookOutbox(redis_server.url)
    tell(store)
    go_on = asyncio.Event()
    sender = ScriptedSender(go_on, 200)
    async with dispatching(outbox, sender, tmp_path):
        await until(lambda: sender.num_at_once == 1)
        await asyncio.to_thread(redis_server.kill)
        go_on.set()
        await until(lambda: sender.num_at_once == 0)
        await asyncio.sleep(0.2)  # what came of it is told to a store that is away
        await asyncio.to_thread(redis_server.start)
        await until(ended(outbox, Outcome.DELIVERED))
        tell(store)
        await until(ended(outbox, Outcome.DELIVERED, 2))
    assert len(sender.sent) == 2
    store.close()
    outbox.close()


async def test_the_log_names_job_and_host_and_not_the_rest_of_the_url(
    store, outbox, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    job = tell(store)
    async with dispatching(outbox, ScriptedSender(500, 200), tmp_path):
        await until(ended(outbox, Outcome.DELIVERED))
    lines = [record for record in caplog.records if record.name == "jobs.webhooks.dispatcher"]
    assert [line.levelname for line in lines] == ["WARNING", "INFO"]
    assert all(line.job_id == job.id and line.host == "studio.example" for line in lines)
    assert "very-secret" not in str([vars(line) for line in lines])
