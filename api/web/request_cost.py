"""What a request may cost before anybody looks into it, and how often a caller may ask.

Parsing and validation run on the event loop, where one request delays all others. Their cost grows
with the number of values, not of bytes: 250 kB of lyrics are nothing, 80,000 numbers in a list are
a second. So values are counted first, and counting stops early.
"""

import json
import re
from collections import Counter
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.errors import ApiError, invalid_field, send_problem, too_much
from api.web.proxy import path_of
from api.web.routing import has_endpoint
from jobs.errors import LimitReached, StoreUnavailable
from jobs.store import JobStore

MAX_VALUES = 1_000
"""Values in a JSON body, containers and names included. No request needs a tenth of them."""
MAX_QUERY_BYTES = 8_192
MAX_QUERY_PARAMETERS = 64
_SEPARATORS = (b",", b"[", b"{")
_MAKES_WORK = re.compile(r"/jobs|/assets|/session|/jobs/[^/]+/retry")


class RequestCost:
    """Refuses requests that would take long to parse; the bodies of `uploads` are not read."""

    def __init__(self, app: ASGIApp, *, uploads: frozenset[str] = frozenset()) -> None:
        self._app, self._uploads = app, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body read, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_head(scope)
            if self._reads_body(scope):
                receive = await _with_checked_body(receive)
        except ApiError as error:
            await send_problem(send, scope["path"], error)
            return
        await self._app(scope, receive, send)

    def _reads_body(self, scope: Scope) -> bool:
        """Not where no endpoint will: a 405 or a redirect comes before any fault of the body."""
        is_reading = scope["method"] in ("GET", "HEAD") or path_of(scope) in self._uploads
        return not is_reading and has_endpoint(scope)


def _check_head(scope: Scope) -> None:
    names = [name for name, _ in scope["headers"]]
    if b"content-length" in names and b"transfer-encoding" in names:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "ambiguous_length",
            "The request has both a Content-Length and a Transfer-Encoding: send one of them.",
        )
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise ApiError(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            "uri_too_long",
            f"The query has {len(query)} bytes; at most {MAX_QUERY_BYTES} are read.",
        )
    if query.count(b"&") >= MAX_QUERY_PARAMETERS:
        raise invalid_field("query", [], f"holds more than {MAX_QUERY_PARAMETERS} parameters")


def refuse_repeated_parameters(request: Request) -> None:
    """No parameter takes several values, and none of them should win in silence.

    In a thread, unlike other checks of this size: of a thousand requests at once the event loop
    then begins forty at a time, and has time for the store in between.

    Raises ApiError for a query that names one twice.
    """
    names = Counter(name for name, _ in request.query_params.multi_items())
    for name, number in names.items():
        if number > 1:
            raise invalid_field("query", [name], f"is given {number} times: give it once")


async def refuse_unknown_parameters(request: Request) -> None:
    """What is misspelt must not be left out in silence.

    Raises ApiError for a query that names what the endpoint does not take. Pages take anything.
    """
    if request.query_params and request.scope["route"].include_in_schema:
        # The first one to ask has the document made, which takes a while.
        await run_in_threadpool(_check_known, request)


def _check_known(request: Request) -> None:
    route = request.scope["route"]
    operation = request.app.openapi()["paths"][route.path][request.method.lower()]
    known = {entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "query"}
    for name in request.query_params:
        if name not in known:
            takes = f"takes {', '.join(sorted(known))}" if known else "takes none"
            raise invalid_field("query", [name], f"unknown query parameter: this endpoint {takes}")


async def _with_checked_body(receive: Receive) -> Receive:
    """The whole body as one message.

    Raises ApiError for one of too many values, or with a name twice in an object.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return _once(message, receive)
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    _check_document(bytes(body))
    return _once({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


class _RepeatedName(Exception):
    """A name that an object has twice; JSON leaves open which value counts."""


def _check_document(body: bytes) -> None:
    """What is not JSON is refused later, by name."""
    try:
        document = json.loads(body, object_pairs_hook=_object_of)
    except _RepeatedName as error:
        raise invalid_field("body", [str(error)], "is given twice: give it once") from error
    except (ValueError, RecursionError):
        return
    if sum(body.count(each) for each in _SEPARATORS) >= MAX_VALUES:
        _check_values(document)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _RepeatedName(names.most_common(1)[0][0])
    return found


def _check_values(document: object) -> None:
    """Text may have many commas: only values count."""
    left, waiting = MAX_VALUES, [document]
    while waiting and left > 0:
        value: Any = waiting.pop()
        left -= 1
        if isinstance(value, list):
            left -= len(value) if len(value) > left else 0
            waiting.extend(value[: max(left, 0)])
        elif isinstance(value, dict):
            left -= len(value)
            waiting.extend(list(value.values())[: max(left, 0)])
    if left <= 0:
        raise invalid_field("body", [], f"holds more than {MAX_VALUES} values")


def _once(message: Message, receive: Receive) -> Receive:
    messages = [message]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


class RequestRate:
    """Counts every request of a caller with a key, whatever becomes of it; 0 is no limit.

    While the store is away nothing is counted: what needs the store says so itself.
    """

    def __init__(
        self, app: ASGIApp, *, store: JobStore, per_minute: int, posts_per_minute: int
    ) -> None:
        self._app, self._store = app, store
        self._per_minute, self._posts_per_minute = per_minute, posts_per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        caller = scope.get("state", {}).get("caller")
        if scope["type"] == "http" and caller is not None and caller.owner is not None:
            try:
                await to_thread.run_sync(self._count, caller.owner, scope)
            except LimitReached as error:
                await send_problem(send, scope["path"], too_much(error))
                return
            except StoreUnavailable:
                pass
        await self._app(scope, receive, send)

    def _count(self, owner: str, scope: Scope) -> None:
        if self._per_minute:
            self._store.take_token(owner, per_minute=self._per_minute, kind="request")
        makes_work = scope["method"] == "POST" and _MAKES_WORK.fullmatch(path_of(scope))
        if self._posts_per_minute and makes_work:
            self._store.take_token(owner, per_minute=self._posts_per_minute)
