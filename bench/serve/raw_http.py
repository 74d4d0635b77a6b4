"""A client of few lines over HTTP/1.1, so that what is measured is the service and not the client.

It speaks to a service on this machine that answers as ours does: with a length, or in chunks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    body: bytes

    @property
    def is_error(self) -> bool:
        """Whether the service refused or failed."""
        return self.status >= 400

    def json(self) -> Any:  # noqa: ANN401
        """The body as JSON."""
        return json.loads(self.body)


class RawConnection:
    """One connection, on which requests follow each other; an asynchronous context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request and read its answer. Raises OSError, asyncio.IncompleteReadError."""
        reader = await self._send(method, path, body)
        status, headers = await _read_head(reader)
        return Answer(status, await reader.readexactly(int(headers.get("content-length", 0))))

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """The lines of a stream of events, for as long as it lasts. Raises what `ask` does.

        The first is the status, as a number.
        """
        reader = await self._send("GET", path, None)
        status, _ = await _read_head(reader)
        yield str(status).encode()
        rest = b""
        while num_bytes := int(await reader.readline(), 16):
            chunk = rest + (await reader.readexactly(num_bytes + 2))[:-2]
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                yield line

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> asyncio.StreamReader:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        reader, writer = self._streams
        writer.write(head.encode() + content)
        await writer.drain()
        return reader


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.splitlines()
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
