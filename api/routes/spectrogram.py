"""Pictures of a job's sounds."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api.dependencies import JobId, ServicesDep
from api.routes.audio import SoundQuery, wanted_output
from api.views.openapi import problems
from api.web.callers import CallerDep
from api.web.files import has_already, validators
from jobs.files.download_names import content_disposition, file_name

router = APIRouter(tags=["files"])

_VERSION = 1
"""Part of the entity tag; to be raised when the same query gets another picture."""
_PNG = "image/png"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A PNG file, with `ETag`",
        "content": {_PNG: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "Not modified (`If-None-Match`)"},
    **problems(404, 410, 507),
}


class PictureQuery(SoundQuery):
    """Selects a sound, and the size of its picture in pixels."""

    width: Annotated[int, Field(ge=16, le=2048)] = 1024
    height: Annotated[int, Field(ge=16, le=1024)] = 256


@router.get(
    "/jobs/{job_id}/spectrogram.png",
    operation_id="getSpectrogram",
    summary="Get the spectrogram",
    response_class=Response,
    responses=_RESPONSES,
)
async def get_spectrogram(
    job_id: JobId,
    query: Annotated[PictureQuery, Query()],
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
) -> Response:
    """Returns a mel spectrogram: time from left to right, pitch from the bottom to the top.

    The colors cover 80 dB and are perceptually uniform. The first request for a sound analyzes it,
    which can take a few seconds for a long song.
    """
    job = await run_in_threadpool(services.store.get, job_id)
    output = wanted_output(job, query)
    what = f"{_VERSION} {output.sha256} {query.width} {query.height}"
    etag = f'"{hashlib.sha256(what.encode()).hexdigest()}"'
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=validators(etag))
    png = await services.derived.drawn(
        job_id, output.name, width=query.width, height=query.height, owner=caller.owner
    )
    name = content_disposition(
        file_name(job, "png", sample=output.sample, level=output.level), kind="inline"
    )
    return Response(png, media_type=_PNG, headers={**validators(etag), "Content-Disposition": name})
