"""Verifying webhooks: messages signed as Standard Webhooks 1.0 says."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from jukebox_client.errors import WebhookInvalid
from jukebox_client.models import WebhookBody

_PREFIX = "whsec_"
_VERSION = "v1,"


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Iterable[str],
    *,
    tolerance_sec: float = 300.0,
    now: float | None = None,
) -> WebhookBody:
    """The message in a webhook, once its signature and time are found right.

    Args:
        body: The body of the request as it arrived, not parsed and written again.
        headers: The headers of the request; names in any case.
        secrets: The secret of the API key (`whsec_...`), or several while it is being rotated.
        tolerance_sec: How far its time may be from the clock of this machine.
        now: Seconds since 1970; by default the clock of this machine.

    Raises:
        WebhookInvalid: a header is missing, the time is too far away, or no signature is right.
        ValueError: a secret is none.
    """
    named = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp, signatures = (
            named[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
        )
        sent_at = int(timestamp)
    except (KeyError, ValueError) as error:
        raise WebhookInvalid(f"a header of the webhook is missing or no number: {error}") from error
    if abs((time.time() if now is None else now) - sent_at) > tolerance_sec:
        raise WebhookInvalid(f"the webhook is of {sent_at}, too far from this machine's clock")
    content = f"{message_id}.{timestamp}.".encode() + body
    known = [secrets] if isinstance(secrets, str) else list(secrets)
    right = [_signature(secret, content) for secret in known]
    sent = [each.encode() for each in signatures.split()]
    # Every pair is compared, so that the time taken tells nothing.
    if not any([hmac.compare_digest(ours, theirs) for ours in right for theirs in sent]):
        raise WebhookInvalid("no signature of the webhook is right: check the secret")
    try:
        return WebhookBody.model_validate_json(body)
    except ValidationError as error:
        raise WebhookInvalid(f"the body of the webhook cannot be read: {error}") from error


def _signature(secret: str, content: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret begins with whsec_ and is in Base64") from error
    return _VERSION.encode() + base64.b64encode(hmac.digest(key, content, hashlib.sha256))
