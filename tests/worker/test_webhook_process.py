"""`python -m jobs.webhooks`, as a process."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import redis

from jobs.record.webhook_messages import Outcome
from jobs.store import JobStore
from jobs.webhooks.outbox import RedisWebhookOutbox
from jobs.webhooks.signing import WebhookSecrets
from tests.fixtures.webhook_receiver import receiving
from tests.jobs.records import created

COMMAND = [sys.executable, "-W", "error", "-m", "jobs.webhooks"]


def environment(**settings):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUKEBOX_")}
    kept.pop("REDIS_URL", None)
    return kept | settings


@contextmanager
def process(redis_url, data_dir, *, hosts, **settings):
    """The process; stopped at the end, if it still runs."""
    log = data_dir / "webhooks.log"
    with log.open("ab") as file:
        started = subprocess.Popen(
            COMMAND,
            env=environment(
                REDIS_URL=redis_url,
                JUKEBOX_DATA_DIR=str(data_dir),
                JUKEBOX_HEALTH_FILE=str(data_dir / "webhooks.alive"),
                JUKEBOX_WEBHOOK_ALLOWED_HOSTS=hosts,
                **settings,
            ),
            stdout=file,
            stderr=file,
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
        try:
            status = started.wait(60)
        finally:
            started.kill()
            started.wait()
    assert status in (0, -signal.SIGKILL), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def tell(store, url):
    job = created(store, webhook_url=url)
    store.request_cancel(job.id)


def the_lease_ends(redis_url):
    """What a minute's wait would do."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        [message_id] = client.zrange("jukebox:webhooks", 0, -1)
        client.zadd("jukebox:webhooks", {message_id: 0})


def wait_until(is_true, timeout_sec=60.0):
    deadline = time.monotonic() + timeout_sec
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.redis
def test_a_killed_process_costs_a_message_nothing_but_time(clean_redis_url, tmp_path):
    """It dies between the claim and the answer; the next one sends the same message again."""
    store, outbox = JobStore(clean_redis_url), RedisWebhookOutbox(clean_redis_url)
    with receiving() as receiver:
        receiver.hold = threading.Event()
        tell(store, receiver.url)
        with process(clean_redis_url, tmp_path, hosts=receiver.address) as first:
            receiver.wait_for(1)
            first.kill()
        receiver.hold.set()
        assert outbox.figures().pending == 1
        the_lease_ends(clean_redis_url)
        with process(clean_redis_url, tmp_path, hosts=receiver.address) as second:
            one, two = receiver.wait_for(2)
            wait_until(lambda: outbox.figures().attempts[Outcome.DELIVERED] == 1)
            second.terminate()
            assert second.wait(60) == 0
    assert one.headers["webhook-id"] == two.headers["webhook-id"]
    assert one.body == two.body
    two.verified(WebhookSecrets(tmp_path).of(None)[0])
    assert outbox.figures().pending == 0
    assert not (tmp_path / "webhooks.alive").exists()
    store.close()
    outbox.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://example.org"),
        ("JUKEBOX_TUNING", "webhook_timeout_sec=0"),
        ("JUKEBOX_TUNING", "webhook_retries_sec=5 soon"),
        ("JUKEBOX_PUBLIC_URL", "songs.example"),
        ("JUKEBOX_TUNING", "webhook_concurrency=1"),
    ],
)
def test_impossible_settings_refuse_to_start_with_a_sentence(name, value, tmp_path):
    settings = {"REDIS_URL": "redis://localhost", name: value}
    done = subprocess.run(
        COMMAND,
        env=environment(**settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Webhooks cannot be sent.")
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_imports_neither_torch_nor_celery_nor_the_api():
    code = (
        "import sys, jobs.webhooks.__main__\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(found & {'torch', 'celery', 'accelerate', 'api', 'fastapi'}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert found.stdout.strip() == "[]"
