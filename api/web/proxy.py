"""Behind a proxy: its prefix before every path, and who asks by which scheme.

A proxy may pass `/jukebox/jobs` on as it came or cut `/jukebox` off; both work, and every URL in an
answer has the prefix.
"""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.web.routing import allowed_methods

_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*", re.ASCII)
_MAX_PREFIX_CHARACTERS = 200


def root_path(scope: Scope) -> str:
    """What a proxy puts before every path; empty without one."""
    return str(scope.get("root_path", "")).rstrip("/")


def path_of(scope: Scope) -> str:
    """The path without what a proxy puts before it."""
    path: str = scope["path"]
    return path.removeprefix(root_path(scope))


def prefix_of_url(public_url: str) -> str:
    """The path of the URL that the service is found under.

    Raises ValueError for one with other characters than letters, digits, `-`, `.`, `_` and `~`.
    """
    prefix = urlsplit(public_url).path.rstrip("/")
    if not _is_prefix(prefix):
        raise ValueError("may have letters, digits, '-', '.', '_' and '~' in its path, no others")
    return prefix


class BehindProxy:
    """Takes what trusted proxies say: `X-Forwarded-Proto`, `-For` and `-Prefix`.

    `trusted` are their addresses, as uvicorn reads `FORWARDED_ALLOW_IPS`. Without a forwarded
    prefix it is `prefix`.
    """

    def __init__(self, app: ASGIApp, *, trusted: str, prefix: str) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted_hosts=trusted)  # type: ignore[arg-type]
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its full path."""
        if scope["type"] == "http":
            client = scope.get("client")
            is_trusted = (client[0] if client else None) in self._app.trusted_hosts
            forwarded = _forwarded_prefix(Headers(scope=scope)) if is_trusted else None
            prefix = self._prefix if forwarded is None else forwarded
            if prefix:
                _put_before_path(scope, prefix)
        await self._app(scope, receive, send)  # type: ignore[arg-type]


def _forwarded_prefix(headers: Headers) -> str | None:
    """Proxies behind each other name their parts in order; None for what is no path."""
    values = [part for value in headers.getlist("x-forwarded-prefix") for part in value.split(",")]
    prefix = "".join(value.strip().rstrip("/") for value in values)
    return prefix if values and _is_prefix(prefix) else None


def _is_prefix(prefix: str) -> bool:
    is_short = len(prefix) <= _MAX_PREFIX_CHARACTERS
    return is_short and _PREFIX.fullmatch(prefix) is not None


def _put_before_path(scope: Scope, prefix: str) -> None:
    path: str = scope["path"]
    is_there = path == prefix or path.startswith(f"{prefix}/")
    if not is_there or allowed_methods({**scope, "root_path": ""}):
        scope["path"] = prefix + path
        scope["raw_path"] = prefix.encode() + scope.get("raw_path", path.encode())
    scope["root_path"] = prefix
