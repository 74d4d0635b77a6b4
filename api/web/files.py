"""Files over HTTP: validators and ranges (RFC 9110)."""

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.web.ranges import wanted_ranges
from jobs.errors import ArtifactNotFound
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


def file_response(request: Request, path: Path, *, sha256: str, filename: str) -> Response:
    """A file as RFC 9110 wants it: 200, 206 for ranges, or 304 when the client has it already.

    Raises:
        ApiError: 416, the range lies outside the file.
        ArtifactNotFound: there is no such file.
    """
    etag = f'"{sha256}"'
    headers = validators(etag)
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Disposition"] = content_disposition(filename)
    media_type = MEDIA_TYPES[path.suffix.removeprefix(".")]
    try:
        return RangedFile(request, path, headers=headers, media_type=media_type)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{path.name} is gone") from error


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
