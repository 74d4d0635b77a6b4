"""What every request passes through: a limit on its body, and careful headers on its answer."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.callers import is_signed
from api.web.errors import ApiError, send_problem
from api.web.proxy import path_of
from api.web.routing import has_endpoint


class _BodyTooLarge(Exception):
    pass


class BodyLimit:
    """Refuses bodies over `max_bytes` with a 413 problem, announced or not.

    `uploads` has other limits, by path. FastAPI's `max_body_size` answers in plain text when the
    length was announced, so this stands in its place. Bodies that no endpoint will read are not
    looked at: what the path or the method is wrong with comes first.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, uploads: Mapping[str, int] | None = None
    ) -> None:
        self._app, self._max_bytes, self._uploads = app, max_bytes, dict(uploads or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _has_body(scope) and not has_endpoint(scope):
            await self._app(scope, receive, _closing(send))
            return
        max_bytes = self._limit_of(scope)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
            await self._refuse(scope, send, max_bytes)
            return
        num_bytes, started = 0, False

        async def counting_receive() -> Message:
            nonlocal num_bytes
            message = await receive()
            if not started:
                num_bytes += len(message.get("body", b""))
            if num_bytes > max_bytes:
                raise _BodyTooLarge
            return message

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            # The framework may have turned the exception into an answer of its own.
            if num_bytes <= max_bytes:
                await send(message)

        with suppress(_BodyTooLarge):
            await self._app(scope, counting_receive, noting_send)
        if num_bytes > max_bytes:
            await self._refuse(scope, send, max_bytes)

    def _limit_of(self, scope: Scope) -> int:
        path = path_of(scope)
        is_upload = scope["method"] == "POST" and path in self._uploads
        return self._uploads[path] if is_upload else self._max_bytes

    async def _refuse(self, scope: Scope, send: Send, max_bytes: int) -> None:
        error = ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"The body is larger than {max_bytes:,} bytes, which no song needs.",
        )
        await send_problem(send, scope["path"], error)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _closing(send: Send) -> Send:
    """What is left of the body is never read, so the connection serves no other request."""

    async def closing_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
        await send(message)

    return closing_send


BYTES = "application/octet-stream"
_FILES = ("audio/", "image/", "application/zip")


class FilesAsBytes:
    """Names no other type than bytes to clients that accept nothing else, such as generated ones.

    The OpenAPI document says so of every file (`api/views/openapi_schemas.py`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and rename the type of a file in the answer."""

        async def renaming_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith(_FILES):
                    headers["content-type"] = BYTES
            await send(message)

        wants_bytes = scope["type"] == "http" and Headers(scope=scope).get("accept") == BYTES
        await self._app(scope, receive, renaming_send if wants_bytes else send)


_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_DOCS = "; ".join(
    [
        "default-src 'self'",
        # The style sheet of Swagger UI holds its pictures as `data:`.
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


class SecurityHeaders:
    """Answers are never guessed at (`nosniff`) nor framed, never stored unless they say otherwise.

    No answer may load anything, except the pages at / and /docs, which load from this service only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the headers of the answer."""

        async def completing_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_signed(scope):
                    # Whoever has the URL may embed it, whichever site the page is of.
                    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                policy = _DOCS if path_of(scope) == "/docs" else _NOTHING
                headers.setdefault("Content-Security-Policy", policy)
            await send(message)

        await self._app(scope, receive, completing_send)
