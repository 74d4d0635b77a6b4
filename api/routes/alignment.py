"""When each word is sung."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.dependencies import JobId, Services, ServicesDep
from api.views.openapi import problems
from api.web.errors import ApiError
from api.web.files import has_already
from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.record.job import Job
from jobs.record.request import MAX_SAMPLES
from jukebox_core.alignment.formats import from_json, to_lrc, to_webvtt
from jukebox_core.alignment.times import LyricTimes
from jukebox_core.errors import JukeboxError
from jukebox_core.units import Level

router = APIRouter(tags=["files"])

AlignmentFormat = Literal["json", "lrc", "lrc-lines", "vtt"]

_MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "lrc": "text/plain; charset=utf-8",
    "lrc-lines": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
_WRITERS: Mapping[str, Callable[[LyricTimes], str]] = {
    "lrc": to_lrc,
    "lrc-lines": partial(to_lrc, word_times=False),
    "vtt": to_webvtt,
}


class AlignmentQuery(BaseModel):
    """Which take, and how it is written."""

    model_config = ConfigDict(extra="forbid")

    sample: Annotated[int, Field(ge=0, lt=MAX_SAMPLES, description="Which take")] = 0
    format: Annotated[
        AlignmentFormat,
        Field(
            description="`lrc` for music players, with a time for each word; `lrc-lines` for those "
            "that read one time for each line; `vtt` for browsers"
        ),
    ] = "json"


def _text(media_type: str) -> dict[str, Any]:
    return {media_type.partition(";")[0]: {"schema": {"type": "string"}}}


@router.get(
    "/jobs/{job_id}/alignment",
    operation_id="downloadAlignment",
    summary="When each word is sung",
    response_class=Response,
    responses={
        200: {
            "description": "The lyrics with their times",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                **_text(_MEDIA_TYPES["lrc"]),
                **_text(_MEDIA_TYPES["vtt"]),
            },
        },
        304: {"description": "You have this text already (`If-None-Match`)"},
        **problems(404, 410, 503),
    },
)
def download_alignment(
    job_id: JobId,
    query: Annotated[AlignmentQuery, Query()],
    request: Request,
    services: ServicesDep,
) -> Response:
    """Times of characters, words and lines, from the attention of the model to its lyrics.

    Only models with an alignment head have them, and only songs with lyrics.
    """
    job = services.store.get(job_id)
    text = _alignment(services, job, query)
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    filename = f"{job_id}-{query.sample}.{query.format.removesuffix('-lines')}"
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return Response(text, media_type=_MEDIA_TYPES[query.format], headers=headers)


def _alignment(services: Services, job: Job, query: AlignmentQuery) -> str:
    name = f"alignment-{query.sample}.json"
    try:
        text = services.artifacts.path(job.id, name).read_text(encoding="utf-8")
    except (ArtifactNotFound, FileNotFoundError) as error:
        raise _none_there(services, job, query.sample) from error
    if query.format == "json":
        return text
    try:
        return _WRITERS[query.format](from_json(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"{name} of {job.id} is damaged: {error}") from error


def _none_there(services: Services, job: Job, sample: int) -> ApiError:
    if sample >= job.request.num_samples:
        detail = f"The job has no sample {sample}: it has {job.request.num_samples}, from 0 on."
    elif not job.request.lyrics.strip():
        detail = "The song has no lyrics, so there is nothing whose time could be told."
    elif not _has_alignment_head(services, job.request.model):
        detail = f"The model {job.request.model} has no alignment head: it cannot tell the times."
    else:
        detail = f"The job is {job.status} and its lyrics have no times yet."
        if job.is_terminal:
            detail = f"The job is {job.status} and its lyrics were given no times."
    headers = {} if job.is_terminal else {"Retry-After": "2"}
    return ApiError(HTTPStatus.NOT_FOUND, "alignment_not_found", detail, headers=headers)


def _has_alignment_head(services: Services, model: str) -> bool:
    """Also True when the model is gone: then nobody knows."""
    try:
        lyrics = services.catalog.get(model).config.prior(Level.TOP).lyrics
    except JukeboxError:
        return True
    return lyrics is not None and lyrics.alignment_layer is not None
