"""Webhooks as the service signs them."""

import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from jobs.webhooks.signing import WebhookSecrets, sign
from jukebox_client import WebhookInvalid, verify_webhook

BODY = json.dumps(
    {
        "type": "job.succeeded",
        "timestamp": "2026-11-22T07:30:00Z",
        "data": {"id": "job_1", "status": "succeeded", "urls": {"self": "/jobs/job_1"}},
    }
).encode()


@pytest.fixture
def secrets(tmp_path):
    return WebhookSecrets(tmp_path)


def signed(secrets_of_owner, body=BODY, *, at=None, message_id="msg_1"):
    at = int(time.time()) if at is None else at
    signature = sign(secrets_of_owner, message_id, at, body)
    return {
        "Webhook-Id": message_id,
        "webhook-timestamp": str(at),
        "WEBHOOK-SIGNATURE": signature,
    }


def test_a_message_of_the_service_is_believed(secrets):
    (secret,) = secrets.of(None)
    message = verify_webhook(BODY, signed([secret]), secret)
    assert (message.type, message.data.id, message.data.status) == (
        "job.succeeded",
        "job_1",
        "succeeded",
    )
    assert message.to_dict() == json.loads(BODY)


def test_a_message_of_the_official_library_is_believed(secrets):
    (secret,) = secrets.of(None)
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, BODY.decode()),
    }
    assert verify_webhook(BODY, headers, secret).data.id == "job_1"


def test_either_secret_is_good_while_they_are_rotated(secrets):
    (before,) = secrets.of("key_1")
    secrets.rotate()
    both = secrets.of("key_1")
    assert verify_webhook(BODY, signed(both), before)
    assert verify_webhook(BODY, signed(both), both[0])
    assert verify_webhook(BODY, signed([before]), both)


def test_another_key_s_message_is_not_believed(secrets):
    (mine,), (other,) = secrets.of("key_1"), secrets.of("key_2")
    with pytest.raises(WebhookInvalid, match="no signature"):
        verify_webhook(BODY, signed([other]), mine)


def test_a_changed_body_id_or_time_is_not_believed(secrets):
    (secret,) = secrets.of(None)
    headers = signed([secret])
    later = str(int(headers["webhook-timestamp"]) + 1)
    for body, changes in (
        (BODY.replace(b"job_1", b"job_2"), {}),
        (BODY, {"Webhook-Id": "msg_2"}),
        (BODY, {"webhook-timestamp": later}),
        (BODY, {"WEBHOOK-SIGNATURE": "v1,AAAA v2,xyz nonsense"}),
        (BODY, {"WEBHOOK-SIGNATURE": ""}),
        (BODY, {"WEBHOOK-SIGNATURE": "v1,\u00e9"}),
    ):
        with pytest.raises(WebhookInvalid, match="no signature"):
            verify_webhook(body, headers | changes, secret)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_an_old_message_is_not_believed(secrets, seconds):
    (secret,) = secrets.of(None)
    headers = signed([secret], at=1_000_000 + seconds)
    with pytest.raises(WebhookInvalid, match="too far"):
        verify_webhook(BODY, headers, secret, now=1_000_000.0)
    assert verify_webhook(BODY, headers, secret, now=1_000_000.0, tolerance_sec=400)


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE"])
def test_a_message_without_a_header_is_not_believed(secrets, name):
    (secret,) = secrets.of(None)
    headers = signed([secret])
    del headers[name]
    with pytest.raises(WebhookInvalid, match="missing"):
        verify_webhook(BODY, headers, secret)


@pytest.mark.parametrize("moment", ["soon", "1e9", "", "\u0661"])
def test_a_time_that_is_no_number_is_not_believed(secrets, moment):
    (secret,) = secrets.of(None)
    with pytest.raises(WebhookInvalid):
        verify_webhook(BODY, signed([secret]) | {"webhook-timestamp": moment}, secret)


def test_a_signed_body_that_is_no_message_is_refused(secrets):
    (secret,) = secrets.of(None)
    for body in (b"[]", b"{", b"\xff"):
        with pytest.raises(WebhookInvalid, match="cannot be read"):
            verify_webhook(body, signed([secret], body), secret)


def test_a_secret_that_is_none_is_told(secrets):
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(BODY, signed(secrets.of(None)), "whsec_not base64!")
