"""Everything of a job in one ZIP file."""

import hashlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.dependencies import JobId, JobReader, JobReaderDep, Services, ServicesDep
from api.routes.alignment import lyric_times
from api.routes.audio import SoundQuery, sound_file, wanted_output
from api.submission.policy import are_codes_expired
from api.views.openapi import problems
from api.views.tags import lrc_header
from api.web.callers import CallerDep
from api.web.files import has_already, sha256_of, validators
from api.web.zip_stream import ZipEntry, zip_chunks, zip_num_bytes
from jobs.errors import ArtifactNotFound
from jobs.files.download_names import content_disposition, file_name
from jobs.record.job import Job, Output
from jobs.record.request import AudioFormat
from jukebox_core.alignment.formats import to_lrc

router = APIRouter(tags=["files"])

_ZIP = "application/zip"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP file, with `ETag` and `Content-Length`",
        "content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "Not modified (`If-None-Match`)"},
    **problems(404, 410, 507),
}


class ArchiveQuery(BaseModel):
    """Selects what is in the archive."""

    levels: Annotated[
        Literal["finest", "all"],
        Field(description="`finest`: all takes of the finest finished level; `all`: of each level"),
    ] = "finest"
    format: Annotated[
        AudioFormat | None, Field(description="Default: the job's `audio_format`")
    ] = None


@router.get(
    "/jobs/{job_id}/archive",
    operation_id="downloadArchive",
    summary="Download everything",
    response_class=Response,
    responses=_RESPONSES,
)
async def download_archive(
    job_id: JobId,
    query: Annotated[ArchiveQuery, Query()],
    request: Request,
    services: ServicesDep,
    reader: JobReaderDep,
    caller: CallerDep,
) -> Response:
    """Returns a ZIP file of all takes, lyrics (text, and LRC if timed), codes and the job as JSON.

    The files are named after the song. `Range` is not supported.
    """
    job = await run_in_threadpool(services.store.get, job_id)
    wanted = query.format or job.request.audio_format
    sounds = [
        (output, await sound_file(services, job, output, wanted, owner=caller.owner))
        for output in _outputs(job, query)
    ]
    entries, etag = await run_in_threadpool(_contents, services, reader, job, sounds, wanted)
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=validators(etag))
    headers = {
        **validators(etag),
        "Content-Disposition": content_disposition(file_name(job, "zip")),
        "Content-Length": str(zip_num_bytes(entries)),
        "Accept-Ranges": "none",
    }
    chunks = zip_chunks(entries, job.created_at)
    return StreamingResponse(chunks, media_type=_ZIP, headers=headers)


def _outputs(job: Job, query: ArchiveQuery) -> list[Output]:
    """Raises ApiError (404) when there is none yet."""
    finest = wanted_output(job, SoundQuery())
    return [each for each in job.outputs if query.levels == "all" or each.level == finest.level]


def _contents(
    services: Services,
    reader: JobReader,
    job: Job,
    sounds: list[tuple[Output, str]],
    audio_format: str,
) -> tuple[list[ZipEntry], str]:
    """The entries of the archive, and its entity tag, which names all contents. Blocking.

    Raises ArtifactNotFound.
    """
    digest = hashlib.sha256()
    entries = []
    for entry, sha256 in (
        *_sound_entries(services, job, sounds, audio_format),
        *_lyrics_entries(services, job),
        *_codes_entries(services, job),
        _bytes_entry("job.json", _job_json(reader, job)),
    ):
        digest.update(f"{entry.name}\n{sha256}\n".encode())
        entries.append(entry)
    return entries, f'"{digest.hexdigest()}"'


def _sound_entries(
    services: Services, job: Job, sounds: list[tuple[Output, str]], audio_format: str
) -> Iterator[tuple[ZipEntry, str]]:
    for output, name in sounds:
        path = services.artifacts.path(job.id, name)
        sha256 = output.sha256 if name == output.name else sha256_of(path)
        called = file_name(job, audio_format, sample=output.sample, level=output.level)
        yield _file_entry(called, path), sha256


def _lyrics_entries(services: Services, job: Job) -> Iterator[tuple[ZipEntry, str]]:
    if lyrics := job.request.lyrics.strip():
        yield _bytes_entry(file_name(job, "txt"), f"{lyrics}\n".encode())
    for sample in range(job.request.num_samples):
        if times := lyric_times(services, job.id, sample):
            text = to_lrc(times, header=lrc_header(job))
            yield _bytes_entry(file_name(job, "lrc", sample=sample), text.encode())


def _codes_entries(services: Services, job: Job) -> Iterator[tuple[ZipEntry, str]]:
    if job.codes_name is not None and not are_codes_expired(job):
        path = services.artifacts.path(job.id, job.codes_name)
        yield _file_entry(file_name(job, "safetensors"), path), sha256_of(path)


def _job_json(reader: JobReader, job: Job) -> bytes:
    """The job as `GET /jobs/{id}` shows it, without signed URLs: archives are passed on."""
    view = reader.view(job)
    outputs = [each.model_copy(update={"signed_url": None}) for each in view.outputs]
    urls = view.urls.model_copy(update={"signed": None})
    shown = view.model_copy(update={"outputs": outputs, "urls": urls})
    return shown.model_dump_json(indent=2).encode() + b"\n"


def _file_entry(name: str, path: Path) -> ZipEntry:
    try:
        num_bytes = path.stat().st_size
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{path.name} is gone") from error
    return ZipEntry(name=name, num_bytes=num_bytes, open=lambda: path.open("rb"))


def _bytes_entry(name: str, content: bytes) -> tuple[ZipEntry, str]:
    return ZipEntry.of_bytes(name, content), hashlib.sha256(content).hexdigest()
