"""Ends streams, long polls and downloads of a key when the key is revoked."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.auth import unknown_key
from api.web.callers import Caller
from api.web.disconnect import message_unless
from api.web.errors import send_problem
from jobs.api_keys import ApiKeyFile
from jobs.errors import ApiKeysUnreadable

LOOK_EVERY_SEC = 2.0


class EndWithKey:
    """While a request of a key goes on, looks every two seconds whether the key is still there.

    To the endpoint a revoked key looks like a client that left. An answer that has not begun is a
    401 instead; one that has ends where it is.
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeyFile) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        caller: Caller | None = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None or caller.owner is None:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._keys, caller.owner, scope, receive, send)
        exchange.look_again()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            await exchange.close()


class _Exchange:
    def __init__(
        self, keys: ApiKeyFile, key_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._keys, self._key_id, self._scope = keys, key_id, scope
        self._receive, self._send = receive, send
        self._revoked = asyncio.Event()
        self._has_begun = self._has_ended = self._has_length = False
        self._timer: asyncio.TimerHandle | None = None

    def look_again(self) -> None:
        """In a while."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_EVERY_SEC, self._look)

    def _look(self) -> None:
        try:
            is_there = self._keys.has(self._key_id)
        except ApiKeysUnreadable:
            is_there = True  # Not known to be revoked: new requests are refused meanwhile.
        if is_there:
            self.look_again()
        else:
            self._revoked.set()

    async def receive(self) -> Message:
        """What the client sends, or that it is gone once the key is."""
        return await message_unless(self._revoked, self._receive)

    async def send(self, message: Message) -> None:
        """Pass on what belongs to the answer, as long as the key is there."""
        if self._revoked.is_set():
            return
        if message["type"] == "http.response.start":
            self._has_begun = True
            self._has_length = any(name == b"content-length" for name, _ in message["headers"])
        elif message["type"] == "http.response.body":
            self._has_ended = not message.get("more_body", False)
        await self._send(message)

    async def close(self) -> None:
        """Stop looking; end an answer that the revocation has cut off."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._revoked.is_set() or self._has_ended:
            return
        if not self._has_begun:
            await send_problem(self._send, self._scope["path"], unknown_key())
        elif not self._has_length:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
