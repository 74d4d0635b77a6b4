"""The output files of a job: audio and codes."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from api.dependencies import JobId, Services, ServicesDep
from api.routes.alignment import lyric_times
from api.submission.policy import are_codes_expired
from api.views.openapi import problems
from api.views.tags import song_tags
from api.web.callers import CallerDep
from api.web.errors import ApiError
from api.web.files import file_response, has_already, validators
from jobs.files.download_names import MEDIA_TYPES, file_name
from jobs.record.job import Job, Output
from jobs.record.request import LEVEL_NAMES, MAX_SAMPLES, AudioFormat, LevelName
from jukebox_core.audio import tags

router = APIRouter(tags=["files"])

REDIRECTED_SEC = 600.0
"""So long a client has to begin a download from a bucket."""


class SoundQuery(BaseModel):
    """Selects one of a job's sounds."""

    sample: Annotated[int, Field(ge=0, lt=MAX_SAMPLES, description="Number of the take")] = 0
    level: Annotated[LevelName | None, Field(description="Default: the finest finished level")] = (
        None
    )


class AudioQuery(SoundQuery):
    """Selects one of a job's audio files."""

    format: Annotated[
        AudioFormat | None, Field(description="Default: the job's `audio_format`")
    ] = None


def _binary(media_types: list[str]) -> dict[str, Any]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"content": {media_type: schema for media_type in media_types}}


_SOUND = _binary([MEDIA_TYPES[name] for name in ("wav", "flac", "ogg", "mp3")])
_CODES = _binary([MEDIA_TYPES["safetensors"]])
_NOT_MODIFIED = {"description": "Not modified (`If-None-Match`)"}


def _file_responses(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": "The whole file, with `ETag` and `Accept-Ranges`", **content},
        206: {"description": "The part that `Range` selects", **content},
        304: _NOT_MODIFIED,
        307: {"description": "The file is in object storage, at `Location` (`downloads=redirect`)"},
        **problems(404, 410, 416, 503, 507),
    }


@router.get(
    "/jobs/{job_id}/audio",
    operation_id="downloadAudio",
    summary="Download audio",
    response_class=Response,
    responses=_file_responses(_SOUND),
)
@router.head(
    "/jobs/{job_id}/audio",
    operation_id="checkAudio",
    summary="Get the size, type and hash of audio",
    response_class=Response,
    responses=_file_responses({}),
)
async def download_audio(
    job_id: JobId,
    query: Annotated[AudioQuery, Query()],
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
) -> Response:
    """Returns one take at one level, or a range of it. `ETag` is the SHA-256 of the file.

    WAV is the stored file, whose hash and size `outputs` contains. Other formats are encoded on the
    first request, which can take a few seconds for a long song. They have tags and a cover, so a
    new title gives them a new `ETag`.
    """
    job = await run_in_threadpool(services.store.get, job_id)
    output = wanted_output(job, query)
    wanted = query.format or job.request.audio_format
    redirect = partial(_bucket_redirect, services, request, job_id)
    name = await sound_file(services, job, output, wanted, owner=caller.owner)
    if elsewhere := await run_in_threadpool(redirect, name):
        return elsewhere
    return await file_response(
        request,
        services.artifacts,
        job_id,
        name,
        filename=file_name(job, wanted, sample=output.sample, level=output.level),
        sha256=output.sha256 if name == output.name else None,
    )


def _bucket_redirect(
    services: Services, request: Request, job_id: str, name: str
) -> Response | None:
    """A redirect to a file of a job where its bucket serves it, if that is wanted. Blocking.

    304 where the client has it. Raises ArtifactNotFound and BucketError.
    """
    if services.settings.downloads != "redirect" or request.method != "GET":
        return None
    signed = services.artifacts.download_url(job_id, name, REDIRECTED_SEC)
    if signed is None:
        return None
    etag = f'"{signed.sha256}"'
    if signed.sha256 and has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=validators(etag))
    headers = {"Cache-Control": "no-store"}
    return RedirectResponse(signed.url, HTTPStatus.TEMPORARY_REDIRECT, headers=headers)


async def sound_file(
    services: Services, job: Job, output: Output, audio_format: str, *, owner: str | None
) -> str:
    """The name of a sound in a format, with tags where the format is not that of the stored file.

    Raises what `DerivedFiles` raises.
    """
    called = file_name(job, audio_format, sample=output.sample, level=output.level)
    for_whom = {"owner": owner, "download_name": called}
    name = await services.derived.sound(job.id, output.name, audio_format, **for_whom)
    if audio_format not in tags.FORMATS or name == output.name or not tags.is_available():
        return name
    times = await run_in_threadpool(lyric_times, services, job.id, output.sample)
    of_song = song_tags(job, output, times)
    return await services.derived.tagged(job.id, name, of_song, sound=output.name, **for_whom)


def wanted_output(job: Job, query: SoundQuery) -> Output:
    """The stored sound that a query means; the finest level when it names none.

    Raises:
        ApiError: 404, there is no such sound, or not yet.
    """
    finest_first = sorted(job.outputs, key=lambda output: -LEVEL_NAMES.index(_level(output)))
    for output in finest_first:
        if output.sample == query.sample and query.level in (None, output.level):
            return output
    raise _no_sound(job, query)


def _level(output: Output) -> LevelName:
    return next(name for name in LEVEL_NAMES if name == output.level)


def _no_sound(job: Job, query: SoundQuery) -> ApiError:
    ready = ", ".join(f"{output.level} {output.sample}" for output in job.outputs) or "nothing"
    level = f" at level {query.level}" if query.level else ""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "audio_not_found",
        f"The job is {job.status} and has no sample {query.sample}{level}; ready now: {ready}.",
        headers={} if job.is_terminal else {"Retry-After": "2"},
    )


@router.get(
    "/jobs/{job_id}/codes",
    operation_id="downloadCodes",
    summary="Download the codes",
    response_class=Response,
    responses=_file_responses(_CODES),
)
@router.head(
    "/jobs/{job_id}/codes",
    operation_id="checkCodes",
    summary="Get the size and hash of the codes",
    response_class=Response,
    responses=_file_responses({}),
)
async def download_codes(job_id: JobId, request: Request, services: ServicesDep) -> Response:
    """Returns the codes of all finished levels in one safetensors file.

    It contains int32 tensors `top`, `middle` and `bottom` of shape [num_samples, tokens]. In stereo
    `middle` and `bottom` have twice as many rows: first the left channel of every take.
    """
    job = await run_in_threadpool(services.store.get, job_id)
    if are_codes_expired(job):
        raise ApiError(
            HTTPStatus.GONE,
            "codes_expired",
            "The codes of this job have expired (`codes_expire_at`). Pin a job to keep its codes.",
        )
    if job.codes_name is None:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "codes_not_found",
            f"The job is {job.status} and has no finished level, so it has no codes.",
            headers={} if job.is_terminal else {"Retry-After": "2"},
        )
    if elsewhere := await run_in_threadpool(
        _bucket_redirect, services, request, job_id, job.codes_name
    ):
        return elsewhere
    filename = file_name(job, "safetensors")
    return await file_response(
        request, services.artifacts, job_id, job.codes_name, filename=filename
    )
