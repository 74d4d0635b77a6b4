"""Takes messages that are due, has them sent, and writes down what became of each."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from jobs.errors import SecretsUnreadable, StoreUnavailable, WebhookUrlRefused
from jobs.record.webhook_messages import Outcome, WebhookMessage
from jobs.webhooks.outbox import WebhookOutbox
from jobs.webhooks.post import Answer, PostFailed

log = logging.getLogger(__name__)

POLL_SEC = 0.5
STOP_SEC = 5.0
"""How long messages on their way have when the process is asked to stop."""
_JITTER = 0.2
_MAX_WAIT_SEC = 24 * 3600.0
_SETTLE_TRIES = 20
_SETTLE_AGAIN_SEC = 1.0
_WAITING_STATUSES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class MessageSender(Protocol):
    """What the dispatcher needs of `jobs.webhooks.sender.Sender`."""

    async def send(self, message: WebhookMessage) -> Answer:
        """What the receiver answered. Raises WebhookUrlRefused, PostFailed, SecretsUnreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    outcome: Outcome
    why: str
    retry_in_sec: float = 0.0


class Dispatcher:
    """Up to `concurrency` messages are on their way at once, half as many of one owner.

    `retries_after_sec` are the waits between attempts, each a little longer or shorter by chance
    so that what failed together does not come back together. `lease_sec` must be longer than any
    attempt takes. `chance` gives numbers in [0, 1).
    """

    def __init__(
        self,
        outbox: WebhookOutbox,
        sender: MessageSender,
        *,
        concurrency: int,
        retries_after_sec: Sequence[float],
        lease_sec: float,
        health_file: Path,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox, self._sender = outbox, sender
        self._concurrency = concurrency
        self._retries_after_sec = retries_after_sec
        self._lease_sec = lease_sec
        self._health_file = health_file
        self._chance = chance
        self._sending: dict[asyncio.Task[None], WebhookMessage] = {}
        self._news = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send what is due until `stopping` is set; then give back what takes too long."""
        watching = asyncio.create_task(self._pass_on(stopping))
        try:
            while not stopping.is_set():
                self._touch()
                self._news.clear()
                await self._take_due()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), POLL_SEC)
        finally:
            watching.cancel()
            await self._give_back()
            self._health_file.unlink(missing_ok=True)

    async def _pass_on(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._news.set()

    async def _take_due(self) -> None:
        free = self._concurrency - len(self._sending)
        if free <= 0:
            return
        try:
            messages = await asyncio.to_thread(
                self._outbox.claim,
                limit=free,
                lease_sec=self._lease_sec,
                per_owner=max(self._concurrency // 2, 1),
                held=Counter(message.owner for message in self._sending.values()),
            )
        except StoreUnavailable as error:
            log.warning("cannot look for webhooks now: %s", error)
            return
        for message in messages:
            task = asyncio.create_task(self._deliver(message))
            self._sending[task] = message
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._news.set()

    async def _deliver(self, message: WebhookMessage) -> None:
        ending = await self._attempt(message)
        log.log(
            logging.INFO if ending.outcome is Outcome.DELIVERED else logging.WARNING,
            "webhook %s: %s",
            ending.outcome,
            ending.why,
            # The rest of a URL often holds what opens a door.
            extra={
                "job_id": message.job_id,
                "webhook_id": message.id,
                "host": urlsplit(message.url).hostname,
                "attempt": message.attempt,
            },
        )
        await self._settle(message, ending)

    async def _attempt(self, message: WebhookMessage) -> _Ending:
        try:
            answer = await self._sender.send(message)
        except WebhookUrlRefused as error:
            return _Ending(outcome=Outcome.REFUSED, why=f"the URL {error}")
        except (PostFailed, SecretsUnreadable) as error:
            return self._failure(message, str(error))
        except Exception:
            log.exception("sending a webhook failed", extra={"job_id": message.job_id})
            return self._failure(message, "something unforeseen")
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return _Ending(outcome=Outcome.DELIVERED, why=str(answer.status))
        if answer.status == HTTPStatus.GONE:
            return _Ending(outcome=Outcome.GONE, why="the receiver wants no more of this job")
        asked_sec = answer.retry_after_sec if answer.status in _WAITING_STATUSES else None
        return self._failure(message, f"answered {answer.status}", asked_sec or 0.0)

    def _failure(self, message: WebhookMessage, why: str, at_least_sec: float = 0.0) -> _Ending:
        if message.attempt > len(self._retries_after_sec):
            return _Ending(outcome=Outcome.EXHAUSTED, why=why)
        planned_sec = self._retries_after_sec[message.attempt - 1]
        planned_sec *= 1 - _JITTER + 2 * _JITTER * self._chance()
        wait_sec = max(planned_sec, min(at_least_sec, _MAX_WAIT_SEC))
        return _Ending(outcome=Outcome.RETRIED, why=why, retry_in_sec=wait_sec)

    async def _settle(self, message: WebhookMessage, ending: _Ending) -> None:
        """Write the ending down; without it the message would be sent once more."""
        for _ in range(_SETTLE_TRIES):
            try:
                await asyncio.to_thread(
                    self._outbox.settle, message, ending.outcome, retry_in_sec=ending.retry_in_sec
                )
            except StoreUnavailable as error:
                log.warning("cannot note what became of a webhook: %s", error)
                await asyncio.sleep(_SETTLE_AGAIN_SEC)
            else:
                return

    async def _give_back(self) -> None:
        sending = dict(self._sending)
        if not sending:
            return
        _, late = await asyncio.wait(sending, timeout=STOP_SEC)
        for task in late:
            task.cancel()
            # If the store is away the lease ends, which is the same but later.
            with suppress(StoreUnavailable):
                await asyncio.to_thread(self._outbox.release, sending[task])

    def _touch(self) -> None:
        try:
            self._health_file.touch()
        except OSError as error:
            log.warning("cannot touch %s: %s", self._health_file, error)
