"""The page at /docs: Swagger UI, served by the service itself, and the document that it shows."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse

from api.web.files import RangedFile, has_already, sha256_of
from api.web.proxy import root_path

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_FOLDER = Path(str(files("fastapi_swagger"))) / "resources"
"""Of the package that Swagger UI comes in. Nothing else of it is used."""
# Paths are relative, so they hold behind any prefix of a proxy.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Jukebox: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# A file of its own: the page's Content-Security-Policy allows no script within it. Without
# `validatorUrl: null` Swagger UI would send the document's address to a validator elsewhere.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


@router.get("/docs")
async def docs_page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def docs_start() -> Response:
    """What the page runs."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
def docs_file(
    name: Annotated[
        Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"], PathParameter()
    ],
    request: Request,
) -> Response:
    """A file of Swagger UI."""
    path = _FOLDER / name
    headers = {"ETag": f'"{sha256_of(path)}"', "Cache-Control": "private, no-cache"}
    if has_already(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return RangedFile(request, path, headers=headers, media_type=_MEDIA_TYPES[name])


@router.get("/openapi.json")
def openapi_document(request: Request) -> JSONResponse:
    """The OpenAPI document, whose `servers` name the prefix of a proxy."""
    document: dict[str, Any] = request.app.openapi()
    root = root_path(request.scope)
    return JSONResponse(document | {"servers": [{"url": root}]} if root else document)
