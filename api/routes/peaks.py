"""Waveforms of a job's sounds, for players to draw."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api.dependencies import JobId, ServicesDep
from api.routes.audio import SoundQuery, wanted_output
from api.views.job_schemas import PeaksView
from api.views.openapi import problems
from api.web.callers import CallerDep
from api.web.files import has_already, validators
from jukebox_core.audio.peaks import MAX_PEAKS, Bits, Peaks

router = APIRouter(tags=["files"])

_VERSION = 1
"""Part of the entity tag; to be raised when the same query gets other peaks."""
_MEDIA_TYPES = {"json": "application/json", "binary": "application/octet-stream"}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The peaks, with `ETag`",
        "model": PeaksView,
        "content": {_MEDIA_TYPES["binary"]: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "Not modified (`If-None-Match`)"},
    **problems(404, 410, 507),
}


class PeaksQuery(SoundQuery):
    """Selects a sound, and how its peaks are written."""

    points: Annotated[
        int, Field(ge=1, le=MAX_PEAKS, description="Maximum number of pairs per channel")
    ] = 1000
    format: Annotated[
        Literal["json", "binary"],
        Field(description="The JSON or the binary (`.dat`) format of audiowaveform"),
    ] = "json"
    bits: Annotated[Bits, Field(description="Bits of each value")] = Bits.EIGHT


@router.get(
    "/jobs/{job_id}/peaks",
    operation_id="getPeaks",
    summary="Get the waveform",
    response_class=Response,
    responses=_RESPONSES,
)
async def get_peaks(
    job_id: JobId,
    query: Annotated[PeaksQuery, Query()],
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
) -> Response:
    """Returns the lowest and the highest sample of each part of a sound, for drawing a waveform.

    The formats are those of audiowaveform, which wavesurfer.js, peaks.js and waveform-data.js
    read.
    """
    job = await run_in_threadpool(services.store.get, job_id)
    output = wanted_output(job, query)
    what = f"{_VERSION} {output.sha256} {query.points} {query.format} {query.bits:d}"
    etag = f'"{hashlib.sha256(what.encode()).hexdigest()}"'
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=validators(etag))
    peaks = await services.derived.peaks(job_id, output.name, owner=caller.owner)
    body = await run_in_threadpool(_body, peaks, query)
    return Response(body, media_type=_MEDIA_TYPES[query.format], headers=validators(etag))


def _body(peaks: Peaks, query: PeaksQuery) -> bytes:
    merged = peaks.merged(query.points)
    if query.format == "json":
        return merged.to_json(query.bits).encode()
    return merged.to_dat(query.bits)
