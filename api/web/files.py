"""Files over HTTP: validators and ranges (RFC 9110)."""

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, Response

from api.web.errors import ApiError
from jobs.errors import ArtifactNotFound
from jobs.files.download_names import content_disposition

MEDIA_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "safetensors": "application/octet-stream",
}
_RANGE = re.compile(r"(\d{1,18})?\s*-\s*(\d{1,18})?", re.ASCII)
_MAX_RANGES = 100


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
        ApiError: 416, the range lies outside the file or cannot be read.
        ArtifactNotFound: there is no such file.
    """
    etag = f'"{sha256}"'
    headers = validators(etag)
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Disposition"] = content_disposition(filename)
    try:
        stat = os.stat(path)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{path.name} is gone") from error
    response = FileResponse(
        path,
        headers=headers,
        media_type=MEDIA_TYPES[path.suffix.removeprefix(".")],
        stat_result=stat,
    )
    _check_range(request, stat.st_size, (etag, response.headers["last-modified"]))
    return response


def validators(etag: str) -> dict[str, str]:
    """The headers that let clients keep a response, and ask each time whether it still holds."""
    return {"ETag": etag, "Cache-Control": "private, no-cache"}


def has_already(request: Request, etag: str) -> bool:
    """Whether the client holds what `etag` names (`If-None-Match`)."""
    known = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return "*" in tags or etag in tags


def _check_range(request: Request, num_bytes: int, validators: tuple[str, str]) -> None:
    """Refuse here, as a problem, what `FileResponse` would refuse in plain text."""
    header, if_range = request.headers.get("range"), request.headers.get("if-range")
    if header is None or (if_range is not None and if_range not in validators):
        return
    unit, _, ranges = header.partition("=")
    parts = [_RANGE.fullmatch(part.strip()) for part in ranges.split(",")]
    legal = unit.strip().lower() == "bytes" and len(parts) <= _MAX_RANGES
    if not legal or not all(part and _lies_within(part, num_bytes) for part in parts):
        raise ApiError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            f"The file has {num_bytes} bytes; ask for some of them, like Range: bytes=0-1023.",
            headers={"Content-Range": f"bytes */{num_bytes}"},
        )


def _lies_within(part: re.Match[str], num_bytes: int) -> bool:
    first, last = part.groups()
    if first is None:
        return last is not None and int(last) > 0
    return int(first) < num_bytes and (last is None or int(first) <= int(last))
