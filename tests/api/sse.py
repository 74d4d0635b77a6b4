"""Reading an event stream, as the specification of server-sent events says."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, kw_only=True)
class Event:
    kind: str
    id: str | None
    data: Any


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            data = json.loads(fields["data"])
            yield Event(kind=fields.get("event", "message"), id=fields.get("id"), data=data)
            fields = {}


@dataclass
class OpenStream:
    """What a client of a stream has read so far; it can stop reading, and go on."""

    events: list[Event] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    _has_more: asyncio.Condition = field(default_factory=asyncio.Condition)
    _may_read: asyncio.Event = field(default_factory=asyncio.Event)
    _text: str = ""

    def pause(self) -> None:
        """Read nothing more."""
        self._may_read.clear()

    def go_on(self) -> None:
        """Read again."""
        self._may_read.set()

    async def until(self, kind: str, number: int = 1) -> list[Event]:
        """All events, once so many of a kind are there."""
        async with asyncio.timeout(60.0), self._has_more:
            await self._has_more.wait_for(
                lambda: sum(each.kind == kind for each in self.events) >= number
            )
        return list(self.events)

    async def until_bytes(self, number: int) -> bytes:
        """All bytes, once there are so many; of any stream."""
        async with asyncio.timeout(60.0), self._has_more:
            await self._has_more.wait_for(lambda: len(self.body) >= number)
        return bytes(self.body)

    async def take(self, message: Message) -> None:
        """What the application sends."""
        await self._may_read.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.body += message.get("body", b"")
        if not self.headers["content-type"].startswith("text/"):
            async with self._has_more:
                self._has_more.notify_all()
            return
        self._text += message.get("body", b"").decode()
        whole, separator, self._text = self._text.rpartition("\n\n")
        async with self._has_more:
            self.events += read_events((whole + separator).split("\n"))
            self._has_more.notify_all()


@asynccontextmanager
async def open_stream(
    app: ASGIApp, path: str, headers: dict[str, str] | None = None
) -> AsyncIterator[OpenStream]:
    """A client that reads while the block runs, and then leaves; in this process."""
    stream, leaves = OpenStream(), asyncio.Event()
    stream.go_on()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "root_path": "",
        "query_string": path.partition("?")[2].encode(),
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": "localhost", **(headers or {})}.items()
        ],
    }
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def serve() -> None:
        try:
            await app(scope, receive, stream.take)
        finally:
            stream.is_over.set()

    serving = asyncio.create_task(serve())
    try:
        yield stream
    finally:
        leaves.set()
        stream.go_on()
        await asyncio.wait_for(serving, 60.0)
