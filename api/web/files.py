"""Files over HTTP: validators and ranges (RFC 9110)."""

import hashlib
import os
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from itertools import chain
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.web.ranges import wanted_ranges
from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import Artifacts, RemoteFile
from jobs.files.download_names import MEDIA_TYPES, content_disposition


def sha256_of(path: Path) -> str:
    """Hash of a file, in hex; remembered until the file changes.

    Raises:
        ArtifactNotFound: there is none.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{path.name} is gone") from error


@lru_cache(maxsize=4096)
def _sha256(path: Path, _mtime_ns: int, _num_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def file_response(
    request: Request,
    artifacts: Artifacts,
    job_id: str,
    name: str,
    *,
    filename: str,
    sha256: str | None = None,
) -> Response:
    """A file of a job as RFC 9110 wants it: 200, 206 for ranges, 304 when the client has it.

    `sha256` may be given where it is known.

    Raises:
        ApiError: 416, the range lies outside the file.
        ArtifactNotFound: there is no such file.
    """
    file = await run_in_threadpool(artifacts.to_send, job_id, name)
    if isinstance(file, RemoteFile):
        sha256 = file.sha256
    elif sha256 is None:
        sha256 = await run_in_threadpool(sha256_of, file)
    etag = f'"{sha256}"'
    headers = validators(etag)
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Disposition"] = content_disposition(filename)
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]
    if isinstance(file, RemoteFile):
        return await _remote_response(request, file, headers=headers, media_type=media_type)
    try:
        return RangedFile(request, file, headers=headers, media_type=media_type)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{name} is gone") from error


async def _remote_response(
    request: Request, file: RemoteFile, *, headers: dict[str, str], media_type: str
) -> Response:
    """What the request asks for of a file, or all of it where that is several ranges."""
    changed = formatdate(file.changed_at, usegmt=True)
    ranges = wanted_ranges(request, file.num_bytes, (headers["ETag"], changed))
    is_part = len(ranges) == 1
    start, end = ranges[0] if is_part else (0, file.num_bytes)
    headers |= {
        "Accept-Ranges": "bytes",
        "Last-Modified": changed,
        "Content-Length": str(end - start),
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.num_bytes}"
    chunks = file.read(start, end)
    # The first before the headers are sent: a bucket that is away gets an answer of its own.
    first = await run_in_threadpool(next, chunks)
    return StreamingResponse(
        chain((first,), chunks),
        HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK,
        headers=headers,
        media_type=media_type,
    )


class RangedFile(FileResponse):
    """A file, or what the request asks for of it.

    Raises FileNotFoundError, and ApiError (416).
    """

    def __init__(
        self, request: Request, path: Path, *, headers: Mapping[str, str], media_type: str
    ) -> None:
        stat = os.stat(path)
        super().__init__(path, headers=headers, media_type=media_type, stat_result=stat)
        tags = (self.headers["etag"], self.headers["last-modified"])
        self._ranges = wanted_ranges(request, stat.st_size, tags)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. The parent would read the header once more, and refuse what is to be ignored."""
        others = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() not in (b"range", b"if-range")
        ]
        if self._ranges:
            ranges = ",".join(f"{start}-{end - 1}" for start, end in self._ranges)
            others.append((b"range", f"bytes={ranges}".encode("ascii")))
        await super().__call__({**scope, "headers": others}, receive, send)


def validators(etag: str) -> dict[str, str]:
    """The headers that let clients keep a response, and ask each time whether it still holds."""
    return {"ETag": etag, "Cache-Control": "private, no-cache"}


def has_already(request: Request, etag: str) -> bool:
    """Whether the client holds what `etag` names (`If-None-Match`)."""
    known = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return "*" in tags or etag in tags
