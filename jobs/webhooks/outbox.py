"""The messages that wait to be sent, as the process that sends them sees them."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from jobs.record.codec import from_microseconds
from jobs.record.webhook_messages import Outcome, WebhookFigures, WebhookMessage
from jobs.store.connection import connect, errors_as_store_unavailable
from jobs.store.fleet import read_figures
from jobs.store.scripts import scripts

log = logging.getLogger(__name__)


class WebhookOutbox(Protocol):
    """Hands messages out, each to one sender at a time. Blocking; made for threads."""

    def claim(
        self, *, limit: int, lease_sec: float, per_owner: int, held: Mapping[str | None, int]
    ) -> list[WebhookMessage]:
        """Messages that are due, at most `limit`; nobody else gets them for `lease_sec`.

        `held` says how many of each owner are being sent already: an owner has `per_owner` at
        most, so that a slow receiver holds up its owner and nobody else.
        """

    def settle(
        self, message: WebhookMessage, outcome: Outcome, *, retry_in_sec: float = 0.0
    ) -> None:
        """Say how the attempt ended; nothing happens when the claim was over."""

    def release(self, message: WebhookMessage) -> None:
        """Give a message back that was not tried."""


class RedisWebhookOutbox:
    """Implements `WebhookOutbox`; each method is one script on the server."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._scripts = {
            name: self._redis.register_script(scripts()[name])
            for name in ("claim_webhooks", "settle_webhook", "release_webhook")
        }

    def claim(
        self, *, limit: int, lease_sec: float, per_owner: int, held: Mapping[str | None, int]
    ) -> list[WebhookMessage]:
        """Messages that are due, longest overdue first. Raises StoreUnavailable."""
        words = [word for owner, number in held.items() for word in (owner or "", number)]
        lease_us = round(lease_sec * 1e6)
        found = self._run("claim_webhooks", "", limit, lease_us, per_owner, *words)
        return list(_readable(found))

    def settle(
        self, message: WebhookMessage, outcome: Outcome, *, retry_in_sec: float = 0.0
    ) -> None:
        """Keep the message for another attempt, or forget it. Raises StoreUnavailable."""
        wait = round(retry_in_sec * 1e6) if outcome is Outcome.RETRIED else ""
        self._run("settle_webhook", message.id, message.attempt, outcome, wait)

    def release(self, message: WebhookMessage) -> None:
        """Make it due at once, and the attempt undone. Raises StoreUnavailable."""
        self._run("release_webhook", message.id, message.attempt)

    def figures(self) -> WebhookFigures:
        """How many wait, and how attempts have ended. Raises StoreUnavailable."""
        with errors_as_store_unavailable():
            return read_figures(self._redis)

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        self._redis.close()

    def _run(self, script: str, *arguments: str | int) -> Any:  # noqa: ANN401  (a reply)
        with errors_as_store_unavailable():
            return self._scripts[script](args=arguments)


def _readable(found: Sequence[Any]) -> Iterator[WebhookMessage]:
    """One that cannot be read is tried again when its claim is over, until it is forgotten."""
    for message_id, *rest in found:
        try:
            yield _message(message_id, *rest)
        except (KeyError, ValueError) as error:
            log.warning("webhook %s cannot be read by this release: %r", message_id, error)


def _message(message_id: str, claimed_us: str, flat: Sequence[str]) -> WebhookMessage:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return WebhookMessage(
        id=message_id,
        type=fields["type"],
        job_id=fields["job_id"],
        url=fields["url"],
        owner=fields["owner"] or None,
        created_at=from_microseconds(fields["created_at"]),
        status=fields["status"],
        stage=fields["stage"],
        level=fields["level"] or None,
        error=json.loads(fields["error"]) if fields["error"] else None,
        attempt=int(fields["attempt"]),
        claimed_at=from_microseconds(claimed_us),
    )
