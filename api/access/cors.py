"""Pages of other sites that may ask with a key (CORS); none unless the operator says so."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.settings import split_words

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII)
_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Range",
)
_ANSWER_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Retry-After",
)


def read_origins(value: object) -> object:
    """Origins with commas or blanks between them.

    Raises ValueError for what is none, such as `*`: which sites may ask is to be said by name.
    """
    origins = split_words(value)
    if isinstance(origins, list):
        for origin in origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{origin[:100]!r} is no origin: write it as browsers do, like "
                    "https://app.example or http://localhost:3000, without a path"
                )
    return origins


class Cors:
    """Answers preflights of the allowed origins, and lets their pages read answers.

    Cookies are never allowed (`Access-Control-Allow-Credentials`). For all other origins nothing
    is added, and authentication refuses them.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self._app, self._origins = app, origins
        self._for_allowed = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        is_http = scope["type"] == "http"
        is_allowed = is_http and Headers(scope=scope).get("origin") in self._origins
        await (self._for_allowed if is_allowed else self._app)(scope, receive, send)
