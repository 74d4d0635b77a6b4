"""Sessions: the service's own page shows a key once, and a cookie afterwards."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.access.auth import SESSION_COOKIE, SESSION_PATH
from api.dependencies import ServicesDep
from api.views.openapi import problems
from api.views.schemas import SessionView
from api.web.callers import Caller, CallerDep, Proof
from api.web.errors import ApiError
from api.web.proxy import root_path

router = APIRouter(tags=["session"])

_VALID_SEC = 12 * 3600
_SET_COOKIE = {"Set-Cookie": {"description": "The session", "schema": {"type": "string"}}}


@router.post(
    SESSION_PATH,
    operation_id="openSession",
    summary="Open a session with an API key",
    status_code=HTTPStatus.CREATED,
    response_description="Open; the cookie shows it from now on",
    responses={201: {"headers": _SET_COOKIE}, **problems(429)},
)
async def open_session(
    request: Request, services: ServicesDep, caller: CallerDep, response: Response
) -> SessionView:
    """Send the key in the header `Authorization`; the answer sets a cookie that stands for it.

    Scripts cannot read the cookie (`HttpOnly`), and browsers send it with requests of this
    service's own pages only (`SameSite=Strict`; `Secure` where https is used). It ends with the
    key, or after twelve hours. A service that needs no keys sets none.
    """
    if caller.owner is None:
        return _view(caller, None)
    if caller.proof is not Proof.KEY:
        detail = "A session is opened with an API key, in the header Authorization."
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
    SESSION_PATH, operation_id="getSession", summary="Who am I here?", responses=problems(503)
)
def get_session(request: Request, services: ServicesDep, caller: CallerDep) -> SessionView:
    """The API key behind this request, and until when its session lasts."""
    token = request.cookies.get(SESSION_COOKIE)
    if caller.proof is not Proof.SESSION or token is None:
        return _view(caller, None)
    session = services.store.session(token)
    return _view(caller, session[1] if session is not None else 0.0)


@router.delete(
    SESSION_PATH,
    operation_id="closeSession",
    summary="Close the session",
    status_code=HTTPStatus.NO_CONTENT,
    response_description="It is over, and the cookie is worth nothing any more",
    responses=problems(503),
)
def close_session(request: Request, services: ServicesDep, response: Response) -> None:
    """End the session of this browser. Closing none changes nothing."""
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None:
        services.store.close_session(token)
        response.delete_cookie(SESSION_COOKIE, path=_cookie_path(request))


def _cookie_path(request: Request) -> str:
    return root_path(request.scope) or "/"


def _view(caller: Caller, left_sec: float | None) -> SessionView:
    expires_at = None if left_sec is None else datetime.now(UTC) + timedelta(seconds=left_sec)
    return SessionView(owner=caller.owner, scopes=sorted(caller.scopes), expires_at=expires_at)
