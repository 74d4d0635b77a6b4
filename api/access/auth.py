"""Authentication: every request shows whose it is, and pages of strangers stay outside.

By an API key, by a URL that was signed for one, or by a session of the service's own page. Without
keys only this machine may ask. That alone would not do: any page that somebody on this machine
opens can make the browser ask, under a name that leads here if need be. So browsers must come from
a page of this very service (`Origin`, `Sec-Fetch-Site`), and by a name of this machine.
"""

import logging
from collections.abc import Collection
from http import HTTPStatus

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from api.access.origins import (
    origin_of_url,
    refuse_other_machines,
    refuse_other_pages,
    require_own_page,
)
from api.access.signed_urls import is_signable, signed_key_id, take_signature
from api.web.callers import ANYBODY, Caller, Proof, caller_with, note_caller
from api.web.errors import ApiError, send_problem, store_unavailable
from api.web.proxy import path_of
from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import ApiKeysUnreadable, StoreUnavailable
from jobs.store import JobStore

_log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
"""What tells nothing of anybody, and so needs no key; so do the files of the pages / and /docs."""
SESSION_PATH = "/session"
"""Open to every key, whatever its scopes."""
SESSION_COOKIE = "jukebox_session"
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Authentication:
    """Passes requests on with their caller noted, or answers with a 401, 403 or 503 problem.

    Reading methods need the scope `read`, all others `submit`. `always_locked`: a missing file of
    keys opens nothing, since the service listens beyond this machine. The service's own pages may
    also be those of `public_url`. Pages of `origins` may ask too, with a key of theirs.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeyFile,
        store: JobStore,
        always_locked: bool,
        public_url: str = "",
        origins: Collection[str] = (),
    ) -> None:
        self._app, self._keys, self._store = app, keys, store
        self._always_locked, self._origins = always_locked, origins
        self._own_origin = origin_of_url(public_url)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        if scope["type"] == "http":
            signature = take_signature(scope)
            try:
                await self._authenticate(scope, Headers(scope=scope), signature)
            except ApiError as error:
                await send_problem(send, scope["path"], error)
                return
        await self._app(scope, receive, send)

    async def _authenticate(
        self, connection: Connection, headers: Headers, signature: str | None
    ) -> None:
        path, method = path_of(connection), connection["method"]
        try:
            is_locked = self._always_locked or self._keys.exists
            if not is_signable(path, method) and signature is not None:
                signature = ""
            refuse_other_pages(
                headers,
                own=self._own_origin,
                allowed=self._origins,
                may_be_embedded=is_locked and bool(signature),
            )
            if not is_locked:
                refuse_other_machines(connection, headers)
                note_caller(connection, ANYBODY)
            elif not _is_open(path):
                caller = await self._caller(connection, headers, signature)
                if path != SESSION_PATH:
                    _require_scope(caller, method)
                note_caller(connection, caller)
        except ApiKeysUnreadable as error:
            _log.error("nobody is let in: %s", error)
            detail = "The service cannot read its own API keys; its log says why."
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "api_keys_unreadable",
                detail,
                headers={"Retry-After": "30"},
            ) from error
        except StoreUnavailable as error:
            raise store_unavailable() from error

    async def _caller(
        self, connection: Connection, headers: Headers, signature: str | None
    ) -> Caller:
        """Who asks; a key is looked at before a signature, and that before a session."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        session = HTTPConnection(connection).cookies.get(SESSION_COOKIE)
        if kind.lower() == "bearer" and token:
            key = self._keys.find(token.strip())
            if key is None:
                raise unknown_key()
            return caller_with(key)
        if signature is not None:
            secret = await to_thread.run_sync(self._store.url_secret)
            key_id = signed_key_id(signature, path_of(connection), secret)
            return self._caller_of(key_id, Proof.SIGNATURE)
        if session is not None:
            require_own_page(headers, connection["method"], own=self._own_origin)
            found = await to_thread.run_sync(self._store.session, session)
            if found is None:
                detail = "This session is over: open one with POST /session and an API key."
                raise _unauthorized("session_unknown", detail)
            return self._caller_of(found[0], Proof.SESSION)
        detail = "This service needs an API key: send the header Authorization: Bearer jbx_..."
        raise _unauthorized("api_key_missing", detail)

    def _caller_of(self, key_id: str, proof: Proof) -> Caller:
        key = self._keys.with_id(key_id)
        if key is None:
            raise unknown_key()
        return caller_with(key, proof)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(("/docs/", "/studio/"))


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
