"""Receiving uploads: how many at a time, how slowly, and for how long."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from email.message import Message as HeaderMessage
from http import HTTPStatus

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Message

from api.web.errors import ApiError
from api.web.fair_slots import FairSlots
from jobs.errors import LimitReached

_log = logging.getLogger(__name__)

MAX_UPLOADS = 8
"""Of all keys together: what is received lies in the folder for temporary files, often memory."""
_GRACE_SEC = 10.0
_RETRY_SEC = 10.0


class Uploads:
    """The uploads that one process receives at this moment, on its event loop.

    There are `MAX_UPLOADS` at a time, shared out between API keys, and `max_per_owner` of one key
    (0 is no limit). Others wait before their first byte is read, for `timeout_sec` at most where it
    is their own key that has too many. Each has to arrive within `timeout_sec`, and after its first
    seconds never at less than `min_bytes_per_sec` on average.
    """

    def __init__(self, *, max_per_owner: int, timeout_sec: float, min_bytes_per_sec: float) -> None:
        self._max_per_owner = max_per_owner
        self._timeout_sec, self._min_bytes_per_sec = timeout_sec, min_bytes_per_sec
        self._all = FairSlots(MAX_UPLOADS)
        self._places: dict[str | None, asyncio.Semaphore] = {}
        self._num_users: Counter[str | None] = Counter()

    @asynccontextmanager
    async def form(self, request: Request, owner: str | None) -> AsyncIterator[FormData]:
        """The form with one file that a request brings; its temporary files go with the block.

        Raises:
            LimitReached: other uploads of this key take too long.
            ApiError: it came too slowly, or the client left, or it is no form.
        """
        async with self._place(owner), self._all.slot(owner):
            form = await self._receive(request)
            try:
                yield form
            finally:
                await form.close()

    @asynccontextmanager
    async def _place(self, owner: str | None) -> AsyncIterator[None]:
        places = self._places.setdefault(owner, asyncio.Semaphore(self._max_per_owner or 1))
        self._num_users[owner] += 1
        is_limited = self._max_per_owner > 0
        try:
            if is_limited:
                await self._wait_for(places)
            try:
                yield
            finally:
                if is_limited:
                    places.release()
        finally:
            self._num_users[owner] -= 1
            if not self._num_users[owner]:
                del self._num_users[owner], self._places[owner]

    async def _wait_for(self, places: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._timeout_sec):
                await places.acquire()
        except TimeoutError:
            raise LimitReached(
                "too_many_uploads", self._max_per_owner, retry_after_sec=_RETRY_SEC
            ) from None

    async def _receive(self, request: Request) -> FormData:
        body = _TimedBody(
            request, timeout_sec=self._timeout_sec, min_bytes_per_sec=self._min_bytes_per_sec
        )
        try:
            stream = Request(request.scope, body.receive).stream()
            async with aclosing(stream):
                return await _Form(request.headers, stream, max_files=1, max_fields=8).parse()
        except MultiPartException as error:
            if body.refusal is not None:
                raise body.refusal from None
            detail = f"The form cannot be read: {error.message}"
            raise ApiError(HTTPStatus.BAD_REQUEST, "malformed_form", detail) from error


class _Form(MultiPartParser):
    """A form that also takes files whose name comes as `filename*` alone, as in RFC 5987.

    RFC 7578 forbids that in forms, but some HTTP clients send every name that is not ASCII so.
    """

    def on_headers_finished(self) -> None:
        """All headers of a part are there."""
        part = self._current_part
        part.content_disposition = _with_plain_filename(part.content_disposition or b"")
        super().on_headers_finished()


def _with_plain_filename(disposition: bytes) -> bytes:
    _, options = parse_options_header(disposition)
    if b"filename" in options:
        return disposition
    header = HeaderMessage()
    header["Content-Disposition"] = disposition.decode("latin-1")
    filename = header.get_filename()
    if filename is None:
        return disposition
    quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
    return disposition + f'; filename="{quoted}"'.encode("utf-8", "replace")


class _TimedBody:
    """The body of a request, which ends with `refusal` when it comes too slowly or not at all."""

    def __init__(self, request: Request, *, timeout_sec: float, min_bytes_per_sec: float) -> None:
        self._request, self._clock = request, asyncio.get_running_loop().time
        self._began = self._clock()
        self._timeout_sec, self._min_bytes_per_sec = timeout_sec, min_bytes_per_sec
        self._num_bytes = 0
        self.refusal: ApiError | None = None

    async def receive(self) -> Message:
        """The next message. Raises what makes the form's parser close its temporary files."""
        granted_sec = _GRACE_SEC + self._num_bytes / self._min_bytes_per_sec
        left_sec = self._began + min(granted_sec, self._timeout_sec) - self._clock()
        try:
            async with asyncio.timeout(max(left_sec, 0.0)):
                message = await self._request.receive()
        except TimeoutError:
            self.refusal = _too_slow(self._timeout_sec, self._min_bytes_per_sec)
            raise MultiPartException(self.refusal.detail) from None
        if message["type"] == "http.disconnect":
            _log.info("a client left amid an upload after %d bytes", self._num_bytes)
            detail = "The connection ended before the whole body came."
            self.refusal = ApiError(HTTPStatus.BAD_REQUEST, "incomplete_body", detail)
            raise MultiPartException(detail)
        self._num_bytes += len(message.get("body", b""))
        return message


def _too_slow(timeout_sec: float, min_bytes_per_sec: float) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_TIMEOUT,
        "upload_too_slow",
        f"An upload may take {timeout_sec:g} s, at {min_bytes_per_sec:,.0f} bytes a second or more "
        "on average; this one was ended.",
        headers={"Connection": "close"},
    )
