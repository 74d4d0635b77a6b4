"""Signatures, as the official library checks them."""

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.errors import SecretsUnreadable
from jobs.webhooks.signing import FILE_NAME, WebhookSecrets, sign

BODY = json.dumps({"type": "job.succeeded", "data": {"text": "là"}}).encode()


def headers(secrets, *, timestamp=None, message_id="msg_1"):
    moment = int(time.time()) if timestamp is None else timestamp
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": sign(secrets, message_id, moment, BODY),
    }


def test_the_official_library_believes_a_signed_message(tmp_path):
    secrets = WebhookSecrets(tmp_path).of("alice")
    assert Webhook(secrets[0]).verify(BODY, headers(secrets)) == json.loads(BODY)


def test_the_signature_is_that_of_the_specification():
    """The example that the Standard Webhooks libraries test with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_changed_body_id_or_moment_is_not_believed(tmp_path):
    secrets = WebhookSecrets(tmp_path).of(None)
    webhook, good = Webhook(secrets[0]), headers(secrets)
    earlier = str(int(good["webhook-timestamp"]) - 1)
    for bad in ({"webhook-id": "msg_2"}, {"webhook-timestamp": earlier}):
        with pytest.raises(WebhookVerificationError):
            webhook.verify(BODY, good | bad)
    with pytest.raises(WebhookVerificationError):
        webhook.verify(BODY + b" ", good)


def test_each_key_has_a_secret_of_its_own_which_stays(tmp_path):
    secrets = WebhookSecrets(tmp_path)
    found = [secrets.of(owner) for owner in ("alice", "bob", None)]
    assert len(set(found)) == 3
    assert found == [WebhookSecrets(tmp_path).of(owner) for owner in ("alice", "bob", None)]
    with pytest.raises(WebhookVerificationError):
        Webhook(found[0][0]).verify(BODY, headers(found[1]))
    assert set(found[0]).isdisjoint(WebhookSecrets(tmp_path / "other").of("alice"))


def test_while_secrets_change_old_and_new_receivers_both_believe(tmp_path):
    secrets = WebhookSecrets(tmp_path)
    (old,) = secrets.of("alice")
    secrets.rotate()
    both = secrets.of("alice")
    assert both[1] == old
    for secret in both:
        Webhook(secret).verify(BODY, headers(both))
    secrets.rotate()
    assert old not in secrets.of("alice")


def test_only_the_service_s_user_reads_the_file(tmp_path):
    WebhookSecrets(tmp_path).of(None)
    assert stat.S_IMODE(os.stat(tmp_path / FILE_NAME).st_mode) == 0o600


def test_of_many_who_make_the_file_at_once_all_get_the_same(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: WebhookSecrets(tmp_path).of("alice"), range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("content", ["", "no hex\n", "abcd\n"])
def test_a_damaged_file_signs_nothing(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(SecretsUnreadable, match=FILE_NAME):
        WebhookSecrets(tmp_path).of(None)
