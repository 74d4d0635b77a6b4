"""The door: every request shows whose it is, and pages of strangers in a browser stay outside.

Without keys only this machine may ask. That alone would not do: any page that somebody on this
machine opens can make the browser ask, under a name that leads here if need be. So browsers must
come from a page of this very service (`Origin`, `Sec-Fetch-Site`), and by a name of this machine.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from api.web.callers import ANYBODY, Caller, caller_with, let_in
from api.web.errors import ApiError, send_problem
from api.web.proxy import path_of
from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import ApiKeysUnreadable

_log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
"""What tells nothing of anybody, and so needs no key; so do the files of the page at /docs."""
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address, or name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_loopback_address(host)


def _is_loopback_address(host: str) -> bool:
    """For clients, who may send any text where a proxy passes their `X-Forwarded-For` on."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


class Door:
    """Lets requests in, with their caller noted down, or answers with a 401, 403 or 503 problem.

    Reading methods need the scope `read`, all others `submit`. `always_locked`: a missing file of
    keys opens nothing, since the service listens beyond this machine.
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeyFile, always_locked: bool) -> None:
        self._app, self._keys, self._always_locked = app, keys, always_locked

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        if scope["type"] == "http":
            try:
                self._check(scope, Headers(scope=scope))
            except ApiError as error:
                await send_problem(send, scope["path"], error)
                return
        await self._app(scope, receive, send)

    def _check(self, connection: Connection, headers: Headers) -> None:
        _refuse_other_pages(headers)
        try:
            is_locked = self._always_locked or self._keys.exists
            if not is_locked:
                _refuse_other_machines(connection, headers)
                let_in(connection, ANYBODY)
            elif not _is_open(path_of(connection)):
                caller = self._caller(headers)
                _require_scope(caller, connection["method"])
                let_in(connection, caller)
        except ApiKeysUnreadable as error:
            _log.error("nobody is let in: %s", error)
            detail = "The service cannot read its own API keys; its log says why."
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "api_keys_unreadable",
                detail,
                headers={"Retry-After": "30"},
            ) from error

    def _caller(self, headers: Headers) -> Caller:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            detail = "This service needs an API key: send the header Authorization: Bearer jbx_..."
            raise _unauthorized("api_key_missing", detail)
        key = self._keys.find(token.strip())
        if key is None:
            raise unknown_key()
        return caller_with(key)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/docs/")


def unknown_key() -> ApiError:
    """The 401 for a key that does not exist, or not any more."""
    return _unauthorized("api_key_unknown", "No such API key: it was mistyped, or revoked.")


def _unauthorized(code: str, detail: str) -> ApiError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ApiError(HTTPStatus.UNAUTHORIZED, code, detail, headers=headers)


def _require_scope(caller: Caller, method: str) -> None:
    scope = Scope.READ if method in _READING_METHODS else Scope.SUBMIT
    if not caller.may(scope):
        detail = f"This API key does not have the scope {scope}, which this request needs."
        raise ApiError(HTTPStatus.FORBIDDEN, "scope_missing", detail)


def _refuse_other_pages(headers: Headers) -> None:
    """Raises ApiError for what a browser sends on behalf of a page from elsewhere."""
    origin = headers.get("origin")
    if origin is not None:
        is_foreign = _place_of(origin) != headers.get("host", "").lower()
    else:
        # Without an origin come pictures and the like; a link that was followed is no harm.
        is_foreign = _is_embedded(headers)
    if is_foreign:
        detail = "This request comes from a web page of another site, and those are not served."
        raise ApiError(HTTPStatus.FORBIDDEN, "origin_refused", detail)


def _is_embedded(headers: Mapping[str, str]) -> bool:
    site, mode = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-mode", "")
    return site in ("cross-site", "same-site") and mode != "navigate"


def _place_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _refuse_other_machines(connection: Connection, headers: Headers) -> None:
    """Raises ApiError unless this machine asks, by a name of its own."""
    client = connection.get("client")  # None: a socket in the file system
    if client is not None and not _is_loopback_address(client[0]):
        detail = "Without API keys only the service's own machine is served: make one there, with "
        raise _unauthorized("api_key_missing", detail + "`jukebox keys create NAME`.")
    host = headers.get("host")
    if host is not None and not is_loopback(_name_of(host)):
        detail = "Without API keys the service answers to localhost only, not to this host name."
        raise ApiError(HTTPStatus.FORBIDDEN, "host_refused", detail)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
