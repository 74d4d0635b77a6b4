"""A song as a stream of sound while it is made."""

import math
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.dependencies import JobId, Services, ServicesDep, stream_place
from api.live_audio import LiveTake, live_frames
from api.live_encoders import ENCODERS, LiveEncoder, LiveFormat
from api.views.openapi import problems
from api.web.errors import ApiError, invalid_field
from jobs.files.download_names import MEDIA_TYPES
from jobs.record.job import Job
from jobs.record.request import MAX_SAMPLES
from jukebox_core.errors import JukeboxError

router = APIRouter(tags=["files"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_HEADERS = {"Accept-Ranges": "none", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class LiveQuery(BaseModel):
    """Selects a take, a format, and where to begin."""

    sample: Annotated[int, Field(ge=0, lt=MAX_SAMPLES, description="Number of the take")] = 0
    format: Annotated[
        LiveFormat, Field(description="`wav`: 16-bit, without a length; `ogg`: Opus in Ogg")
    ] = LiveFormat.WAV
    start_seconds: Annotated[
        float, Field(ge=0.0, allow_inf_nan=False, description="Position in the song to start at")
    ] = 0.0


@router.get(
    "/jobs/{job_id}/live",
    operation_id="streamAudio",
    dependencies=[Depends(stream_place)],
    summary="Listen while the song is generated",
    response_class=Response,
    responses={
        200: {
            "description": "Audio of unknown length, as it is made; `Accept-Ranges: none`",
            "content": {MEDIA_TYPES[each]: _BINARY for each in LiveFormat},
        },
        **problems(404, 503),
    },
)
async def stream_audio(
    job_id: JobId, query: Annotated[LiveQuery, Query()], services: ServicesDep
) -> Response:
    """Streams one take from the first piece of sound to the end of the job.

    The stream starts at the coarsest level and switches to finer levels as soon as they will stay
    ahead of playback; it never switches back. It is paced: unfinished sound is sent at most a few
    seconds ahead. Ranges are not supported: to resume, request the stream with `start_seconds`.
    """
    job, rate_hz = await run_in_threadpool(_found, services, job_id, query)
    take = LiveTake(services.store, services.artifacts, job, query.sample, sample_rate_hz=rate_hz)
    encoder = ENCODERS[query.format](rate_hz, take.num_channels)
    start = round(query.start_seconds * rate_hz)
    return StreamingResponse(
        _bytes(take, start, encoder, services),
        media_type=MEDIA_TYPES[query.format],
        headers=_HEADERS,
    )


@router.head(
    "/jobs/{job_id}/live",
    operation_id="checkLive",
    summary="Check whether a take can be listened to",
    response_class=Response,
    responses={
        200: {"description": "There is, or will be, sound of this take"},
        **problems(404, 503),
    },
)
async def check_live(
    job_id: JobId, query: Annotated[LiveQuery, Query()], services: ServicesDep
) -> Response:
    """Answers as GET does, at once: nothing is streamed."""
    await run_in_threadpool(_found, services, job_id, query)
    return StreamingResponse(iter(()), media_type=MEDIA_TYPES[query.format], headers=_HEADERS)


def _found(services: Services, job_id: str, query: LiveQuery) -> tuple[Job, int]:
    """The job, and the sample rate of its sound. Blocking."""
    job = services.store.get(job_id)
    _check(job, query)
    return job, _sample_rate_hz(services, job)


def _check(job: Job, query: LiveQuery) -> None:
    if query.start_seconds >= job.duration_sec:
        length_sec = math.floor(job.duration_sec * 1000) / 1000
        raise invalid_field(
            "query", ["start_seconds"], f"must be less than the song's {length_sec:g} s"
        )
    num_takes = job.request.num_samples
    is_silent = job.is_terminal and not any(each.sample == query.sample for each in job.outputs)
    if query.sample >= num_takes or is_silent:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "audio_not_found",
            f"The job is {job.status} and has no sound of sample {query.sample}; it has "
            f"{num_takes} sample{'s' * (num_takes != 1)}, numbered from 0.",
        )


def _sample_rate_hz(services: Services, job: Job) -> int:
    """A model may be gone by now; the sound that it made is not.

    Raises:
        ApiError: nobody knows any more.
    """
    for output in job.outputs:
        return output.sample_rate_hz
    try:
        return services.catalog.get(job.request.model).config.vqvae.sample_rate_hz
    except JukeboxError as error:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "audio_not_found",
            f"The job is {job.status} and has no sound, and its model is not here any more.",
        ) from error


async def _bytes(
    take: LiveTake, start: int, encoder: LiveEncoder, services: Services
) -> AsyncIterator[bytes]:
    async for frames in live_frames(take, start, services.stopping):
        if data := await run_in_threadpool(encoder.add, frames):
            yield data
    if data := await run_in_threadpool(encoder.end):
        yield data
