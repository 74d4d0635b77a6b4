"""The whole stack tells a receiver of a real song, and the receiver believes it."""

import os

import pytest

from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient, verify_webhook
from tests.e2e.conftest import jukebox
from tests.fixtures.webhook_receiver import receiving

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


@pytest.fixture(scope="module")
def receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def telling_stack(tmp_path_factory, tiny_models_dir, receiver):
    settings = StackSettings(
        data_dir=tmp_path_factory.mktemp("telling"),
        models_dir=tiny_models_dir,
        port=free_port(),
        webhooks=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("JUKEBOX_")]:
            patch.delenv(name)
        patch.setenv("JUKEBOX_WEBHOOK_ALLOWED_HOSTS", receiver.address)
        patch.setenv("JUKEBOX_TUNING", "webhook_retries_sec=0.5 0.5 0.5")
        with running_stack(settings, StopSignals()) as stack:
            yield stack


def test_a_song_tells_a_receiver_all_that_it_was_asked_to(telling_stack, receiver):
    """The first message is refused once, and comes again."""
    receiver.answers = [500, 200]
    with JukeboxClient(telling_stack.url) as client:
        secret = client.get_webhook_secret().secret
        job = client.create_job(
            {
                "model": "tiny",
                "artist": "",
                "genre": "drone",
                "duration_seconds": 1,
                "levels": ["top"],
                "webhook_url": receiver.url,
                "webhook_events": ["job.running", "job.output", "job.succeeded"],
            }
        )
        messages = receiver.wait_for(4, timeout_sec=240.0)
        events = [request.verified(secret) for request in messages]
        read = [verify_webhook(each.body, each.headers, secret).to_dict() for each in messages]
        assert read == events
        now = client.get_job(job.id)
    assert {event["data"]["id"] for event in events} == {job.id}
    told = sorted(event["type"] for event in events)
    assert set(told) == {"job.running", "job.output", "job.succeeded"}
    assert len(told) == 4
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(set(ids)) == 3
    [output] = [event for event in events if event["type"] == "job.output"]
    assert output["data"]["level"] == "top"
    [end] = [event for event in events if event["type"] == "job.succeeded"]
    assert end["data"]["status"] == now.status == "succeeded"
    assert end["timestamp"] == now.to_dict()["completed_at"]
    assert end["data"]["urls"] == {"self": now.urls.self, "audio": now.urls.audio}


def test_the_command_line_names_a_webhook_and_tells_the_secret(telling_stack, receiver, tmp_path):
    number = len(receiver.received)
    environment = {**os.environ, "JUKEBOX_URL": telling_stack.url}
    jukebox(
        *("submit", "--model", "tiny", "--seconds", "1", "--stop-after", "top"),
        *("--webhook", receiver.url),
        environment=environment,
        cwd=tmp_path,
    )
    data_dir = str(telling_stack.settings.data_dir)
    shown = jukebox(
        "webhooks", "secret", "--data-dir", data_dir, environment=environment, cwd=tmp_path
    )
    event = receiver.wait_for(number + 1)[-1].verified(shown.stdout.strip())
    assert event["type"] == "job.succeeded"
    jukebox("webhooks", "rotate", "--data-dir", data_dir, environment=environment, cwd=tmp_path)
    with JukeboxClient(telling_stack.url) as client:
        secrets = client.get_webhook_secret()
    assert secrets.previous_secret == shown.stdout.strip()
    wrong = ("webhooks", "secret", "nobody", "--data-dir", data_dir)
    jukebox(*wrong, environment=environment, cwd=tmp_path, status=1)


def test_the_log_of_the_process_holds_no_url(telling_stack):
    log = (telling_stack.settings.data_dir / "logs" / "jobs.webhooks.log").read_text()
    assert "webhook delivered: 200" in log
    assert "from=jukebox" not in log
    assert "Traceback" not in log
