"""One message to its receiver: looked up, checked, signed and posted."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from jobs.record.webhook_messages import WebhookMessage, body_of
from jobs.webhooks.post import Answer, PostFailed, post
from jobs.webhooks.signing import WebhookSecrets, sign
from jobs.webhooks.urls import check_addresses, parse_target

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

USER_AGENT = "Jukebox-Webhooks"


class Sender:
    """Posts messages. An attempt ends within `timeout_sec`, looking up the name included."""

    def __init__(
        self,
        secrets: WebhookSecrets,
        resolve: Resolve,
        *,
        allowed_hosts: Collection[str],
        public_url: str,
        timeout_sec: float,
    ) -> None:
        self._secrets, self._resolve = secrets, resolve
        self._allowed_hosts = allowed_hosts
        self._public_url = public_url
        self._timeout_sec = timeout_sec
        self._tls = ssl.create_default_context()

    async def send(self, message: WebhookMessage) -> Answer:
        """What the receiver answered, whatever it is.

        Raises:
            WebhookUrlRefused: the URL leads where no webhook may go.
            PostFailed: there was no answer.
            SecretsUnreadable: it cannot be signed.
        """
        target = parse_target(message.url, self._allowed_hosts)
        body = body_of(message, self._public_url)
        # The server's clock, since this one may be wrong; receivers take five minutes' difference.
        timestamp = int(message.claimed_at.timestamp())
        signature = sign(self._secrets.of(message.owner), message.id, timestamp, body)
        headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature,
        }
        try:
            async with asyncio.timeout(self._timeout_sec):
                addresses = await self._resolve(target.host, target.port)
                check_addresses(target, addresses)
                return await post(target, addresses, headers=headers, body=body, tls=self._tls)
        except TimeoutError as error:
            raise PostFailed("no answer in time") from error


class SystemResolver:
    """Looks names up as this machine does, in threads of its own: some names take very long."""

    def __init__(self, num_threads: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Each address once, in the system's order of preference. Raises PostFailed."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except (OSError, UnicodeError) as error:
            raise PostFailed("the name cannot be looked up") from error
        return list(dict.fromkeys(found))


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]
