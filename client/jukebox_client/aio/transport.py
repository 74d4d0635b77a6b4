"""Requests to one service: connection, errors, repetition, event streams and files."""

import math
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from jukebox_client.address import connection_options, unreachable
from jukebox_client.aio.waiting import Sleep, run_blocking, sleep
from jukebox_client.answers import (
    DEFAULT_RETRY_SEC,
    AnyDocument,
    document_of,
    error_of,
    may_pass,
    was_heard,
)
from jukebox_client.errors import InvalidAddress, JukeboxClientError, ProblemError
from jukebox_client.events import EventParser, JobEvent, ServerEvent, typed_event
from jukebox_client.part_file import MAX_ATTEMPTS, PartFile, move_into_place

DEFAULT_URL = "http://127.0.0.1:8000"
_EVENTS_READ_TIMEOUT_SEC = 45.0
"""Three missed pings of an event stream (one every 15 s)."""
FILE_TIMEOUT_SEC = 300.0
"""The service may have to encode the file first, or to decode what it is sent."""


class AsyncTransport:
    """Talks to one service. Close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_sec: float = 30.0,
        patience_sec: float = 60.0,
        http: httpx.AsyncClient | None = None,
        sleep: Sleep = sleep,
    ) -> None:
        if base_url is None:
            base_url = os.environ.get("JUKEBOX_URL") or DEFAULT_URL
        if api_key is None:
            api_key = os.environ.get("JUKEBOX_API_KEY", "")
        self.base_url, self.patience_sec = base_url.rstrip("/"), patience_sec
        self._sleep = sleep
        options = connection_options(self.base_url, api_key=api_key, timeout_sec=timeout_sec)
        try:
            self._http = http if http is not None else httpx.AsyncClient(**options)
        except (ValueError, ImportError, OSError) as error:
            raise InvalidAddress(
                f"a proxy or certificate of the environment is unusable: {error}"
            ) from error
        if http is not None:
            http.base_url = options["base_url"]
            http.headers.update(options["headers"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop the connections."""
        await self._http.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """The answer to one request; `options` are those of httpx.

        Raises:
            ServiceUnreachable: nobody answers.
            ProblemError: the answer is an error.
        """
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise unreachable(self.base_url, error) from error
        if not response.is_success:
            raise error_of(response)
        return response

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401
    ) -> AsyncIterator[httpx.Response]:
        """The same with the body of the answer left to be read in pieces."""
        request = self._http.build_request(method, path, **options)
        try:
            # A service may keep its files in a bucket; what shows who asks goes to no other host.
            response = await self._http.send(request, stream=True, follow_redirects=True)
        except httpx.TransportError as error:
            raise unreachable(self.base_url, error) from error
        try:
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            yield response
        finally:
            await response.aclose()

    async def _get(
        self, kind: type[AnyDocument], path: str, params: Mapping[str, Any] | None = None
    ) -> AnyDocument:
        return document_of(await self.request("GET", path, params=present(params or {})), kind)

    async def _once(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """The answer to a request that takes effect once, whatever is lost on the way.

        A lost answer and an answer that asks to come back are borne for `patience_sec`; that nobody
        listens at all is told at once.
        """
        headers = {"Idempotency-Key": str(uuid4())}
        deadline = time.monotonic() + self.patience_sec
        has_arrived = False
        while True:
            try:
                return await self.request(method, path, headers=headers, **options)
            except JukeboxClientError as error:
                has_arrived = has_arrived or was_heard(error)
                pause_sec = getattr(error, "retry_after_sec", DEFAULT_RETRY_SEC)
                is_late = time.monotonic() + pause_sec > deadline
                if is_late or not has_arrived or not may_pass(error):
                    raise
                await self._sleep(pause_sec)

    async def _stream(
        self, path: str, parser: EventParser, deadline: float = math.inf
    ) -> AsyncIterator[ServerEvent]:
        """The events of one connection until it ends, breaks, or is open past the deadline.

        Raises:
            JukeboxClientError: the stream cannot be had.
            httpx.TransportError: the connection broke.
        """
        headers = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        read_sec = min(_EVENTS_READ_TIMEOUT_SEC, max(deadline - time.monotonic(), 0.1))
        timeout = httpx.Timeout(10.0, read=read_sec)
        async with self.open("GET", path, headers=headers, timeout=timeout) as stream:
            parser.is_ended = stream.status_code == HTTPStatus.NO_CONTENT
            if not stream.headers.get("content-type", "").startswith("text/event-stream"):
                return
            async for line in stream.aiter_lines():
                event = parser.feed(line)
                if event is not None:
                    yield event
                if time.monotonic() > deadline:
                    return

    async def _events(
        self, stream: str, path: str, last_id: str, is_last: Callable[[JobEvent], bool]
    ) -> AsyncIterator[JobEvent]:
        """The events of a stream, which is opened again after the last one that came.

        `stream` is the operation that gives it.

        Raises:
            ProblemError: the service refuses, or is away for longer than `patience_sec`.
            ServiceUnreachable: nobody answers for as long.
        """
        parser = EventParser(last_id)
        answered_at = time.monotonic()
        while not parser.is_ended:
            try:
                async for event in self._stream(path, parser):
                    answered_at = time.monotonic()
                    news = typed_event(event, stream)
                    yield news
                    if is_last(news):
                        return
            except httpx.TransportError:
                pass  # in the middle of the stream: it was there, so it is tried again
            except JukeboxClientError as error:
                if not may_pass(error) or time.monotonic() - answered_at > self.patience_sec:
                    raise
            if not parser.is_ended:
                await self._sleep(parser.retry_sec or DEFAULT_RETRY_SEC)

    async def download(
        self,
        url_path: str,
        params: Mapping[str, Any],
        path: Path,
        *,
        sha256: str | None = None,
        etag_is_sha256: bool = False,
        overwrite: bool = False,
        move: Callable[[Path, Path], Path] | None = None,
    ) -> Path:
        """Fetch `url_path` to `path`, which is complete or not there at all; returns where it is.

        A broken connection is resumed, also by a later call. The hash is that of `sha256`, else of
        the entity tag if the service promises so. `move` puts the finished file in its
        place instead of `overwrite`, and returns where that is.

        Raises:
            DownloadFailed: the connection broke too often, or the bytes have another hash.
            FileExistsError: `path` exists and is not to be replaced.
            ProblemError: the service refused.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = PartFile(path)
        for _ in range(MAX_ATTEMPTS):
            is_whole = await self._attempt(part, url_path, params)
            if is_whole is None:
                is_whole = await self._attempt(part, url_path, params)
            if is_whole:
                break
        else:
            raise part.broken()
        await run_blocking(part.check, sha256, etag_is_sha256=etag_is_sha256)
        place = move or partial(move_into_place, overwrite=overwrite)
        return place(part.path, path)

    async def _attempt(
        self, part: PartFile, url_path: str, params: Mapping[str, Any]
    ) -> bool | None:
        """Fetch what is missing. False when the connection broke, None when it is to ask again."""
        if part.is_whole:
            return True
        options = {"params": present(params), "headers": part.headers()}
        try:
            async with self.open("GET", url_path, timeout=FILE_TIMEOUT_SEC, **options) as response:
                mode = part.begin(response)
                if mode is None:
                    return None
                with part.path.open(mode) as file:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
        except httpx.TransportError:
            return False
        except OSError as error:
            raise part.unwritable(error) from error
        except ProblemError as problem:
            if problem.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            part.discard()
            return False
        return part.is_complete()


def present(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without those that are None."""
    return {name: value for name, value in params.items() if value is not None}
