"""Sessions: a cookie in place of an API key, for pages of the service itself."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.access.auth import SESSION_COOKIE, SESSION_PATH
from api.dependencies import ServicesDep
from api.views.openapi import problems
from api.views.service_schemas import SessionView
from api.web.callers import Caller, CallerDep, Proof
from api.web.errors import ApiError
from api.web.proxy import root_path

router = APIRouter(tags=["session"])

_VALID_SEC = 12 * 3600
_SET_COOKIE = {"Set-Cookie": {"description": "The session cookie", "schema": {"type": "string"}}}


@router.post(
    SESSION_PATH,
    operation_id="openSession",
    summary="Create a session",
    status_code=HTTPStatus.CREATED,
    response_description="Created; the cookie authenticates further requests",
    responses={201: {"headers": _SET_COOKIE}, **problems(429)},
)
async def open_session(
    request: Request, services: ServicesDep, caller: CallerDep, response: Response
) -> SessionView:
    """Send the API key in the `Authorization` header. The response sets a session cookie.

    Scripts cannot read the cookie (`HttpOnly`). Browsers send it only with requests from the
    service's own pages (`SameSite=Strict`; `Secure` with https). The session ends after twelve
    hours or when the key is revoked. A service without API keys sets no cookie.
    """
    if caller.owner is None:
        return _view(caller, None)
    if caller.proof is not Proof.KEY:
        detail = "To create a session, send an API key in the Authorization header."
        raise ApiError(HTTPStatus.FORBIDDEN, "key_required", detail)
    token = await run_in_threadpool(services.store.open_session, caller.owner, ttl_sec=_VALID_SEC)
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=_VALID_SEC,
        path=_cookie_path(request),
        secure="https" in (request.url.scheme, urlsplit(services.settings.public_url).scheme),
        httponly=True,
        samesite="strict",
    )
    return _view(caller, _VALID_SEC)


@router.get(
    SESSION_PATH, operation_id="getSession", summary="Get the session", responses=problems(503)
)
def get_session(request: Request, services: ServicesDep, caller: CallerDep) -> SessionView:
    """Returns the API key id and scopes of this request, and the end of its session."""
    token = request.cookies.get(SESSION_COOKIE)
    if caller.proof is not Proof.SESSION or token is None:
        return _view(caller, None)
    session = services.store.session(token)
    return _view(caller, session[1] if session is not None else 0.0)


@router.delete(
    SESSION_PATH,
    operation_id="closeSession",
    summary="End the session",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="Ended; the cookie is no longer valid",
    responses=problems(503),
)
def close_session(request: Request, services: ServicesDep, response: Response) -> None:
    """Ends the session of this browser. No effect without a session."""
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None:
        services.store.close_session(token)
        response.delete_cookie(SESSION_COOKIE, path=_cookie_path(request))


def _cookie_path(request: Request) -> str:
    return root_path(request.scope) or "/"


def _view(caller: Caller, left_sec: float | None) -> SessionView:
    expires_at = None if left_sec is None else datetime.now(UTC) + timedelta(seconds=left_sec)
    return SessionView(owner=caller.owner, scopes=sorted(caller.scopes), expires_at=expires_at)
