"""The page at /: the studio, and the files that it consists of."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.access.auth import SESSION_COOKIE
from api.web.errors import ApiError
from api.web.files import has_already
from api.web.proxy import root_path
from studio.files import new_nonce, page, static_files, version

router = APIRouter(include_in_schema=False)

_FOREVER = "public, max-age=31536000, immutable"
_CHECKED = "no-cache"


def policy(nonce: str) -> str:
    """What the page may load: its own files, and recordings that it has in memory (`blob:`).

    The nonce admits the style sheet that wavesurfer.js puts into its shadow root.
    """
    return "; ".join(
        [
            "default-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "media-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


@router.get("/")
def studio_page(request: Request) -> Response:
    """The page. It is never stored, because its nonce is for one answer.

    It says whether a key is needed, so that it need not try a request that is refused.
    """
    nonce = new_nonce()
    return Response(
        page(root_path(request.scope), nonce, needs_key=_needs_key(request)),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy(nonce), "Cache-Control": "no-store"},
    )


def _needs_key(request: Request) -> bool:
    """False as well if nobody can tell: a link on another site sends no `SameSite` cookie."""
    # Without keys everybody has been noted as caller, on this path too.
    is_locked = "caller" not in request.scope.get("state", {})
    is_linked = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return is_locked and not is_linked and SESSION_COOKIE not in request.cookies


@router.get("/studio/{release}/{name:path}")
def studio_file(
    release: Annotated[str, Path()], name: Annotated[str, Path()], request: Request
) -> Response:
    """A file of the page. Under the name of this release it never changes.

    A page that was opened before an update gets the files of today, which it must not keep.
    """
    file = static_files().get(name)
    if file is None:
        raise ApiError(
            HTTPStatus.NOT_FOUND, "route_not_found", "The studio has no file of this name."
        )
    caching = _FOREVER if release == version() else _CHECKED
    headers = {"ETag": file.etag, "Cache-Control": caching}
    if has_already(request, file.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
