"""Files over HTTP: validators, ranges, and formats that are made when somebody asks.

Encoding runs in a child process: libsndfile has been seen to crash on odd input, and a crash must
not take the service along.
"""

import asyncio
import hashlib
import logging
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from api.web.errors import ApiError, storage_failed
from api.web.fair_slots import FairSlots
from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import LocalArtifacts
from jukebox_core.audio.files import DISK_REFUSED_STATUS
from jukebox_core.child_processes import decoder_environment, python_command

_log = logging.getLogger(__name__)

MEDIA_TYPES: Mapping[str, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "safetensors": "application/octet-stream",
}
_RANGE = re.compile(r"(\d{1,18})?\s*-\s*(\d{1,18})?", re.ASCII)
_MAX_RANGES = 100
_MAX_ENCODERS = 2
"""Children at a time; they take threads of their own, so that waiting for them blocks nobody."""


class Transcoder:
    """Makes other formats of stored sound files, once, beside the original."""

    def __init__(self, artifacts: LocalArtifacts, *, timeout_sec: float) -> None:
        self._artifacts, self._timeout_sec = artifacts, timeout_sec
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        self._slots = FairSlots(_MAX_ENCODERS)

    async def path_as(
        self, job_id: str, name: str, audio_format: str, *, owner: str | None = None
    ) -> Path:
        """Where the sound `name` of a job lies in `audio_format`; encoded now if need be.

        `owner` is the API key that asks: encoders are shared out between keys.

        Raises:
            ArtifactNotFound: the original is gone.
            ApiError: it could not be encoded.
        """
        source = await run_in_threadpool(self._artifacts.path, job_id, name)
        if source.suffix == f".{audio_format}":
            return source
        wanted = f"{name.rpartition('.')[0]}.{audio_format}"
        with self._lock(job_id, wanted) as lock:
            async with lock:
                try:
                    return await run_in_threadpool(self._artifacts.path, job_id, wanted)
                except ArtifactNotFound:
                    await self._slots.run(owner, self._encode, source, job_id, wanted)
        return await run_in_threadpool(self._artifacts.path, job_id, wanted)

    @contextmanager
    def _lock(self, job_id: str, name: str) -> Iterator[asyncio.Lock]:
        """The lock of one file; forgotten when the last who waited for it leaves."""
        key = (job_id, name)
        lock, num_users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, num_users + 1)
        try:
            yield lock
        finally:
            lock, num_users = self._locks.pop(key)
            if num_users > 1:
                self._locks[key] = (lock, num_users - 1)

    def _encode(self, source: Path, job_id: str, wanted: str) -> None:
        with self._artifacts.new_file(job_id, wanted) as target:
            self._run(source, target)

    def _run(self, source: Path, target: Path) -> None:
        command = python_command("jukebox_core.audio.transcode", str(source), str(target))
        try:
            child = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_sec,
                check=False,
                env=decoder_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise _encoding_failed(f"it took longer than {self._timeout_sec:g} s") from error
        if child.returncode != 0:
            said = child.stderr.decode(errors="replace").strip()[-1000:]
            _log.error("encoding %s ended with status %d: %s", target.name, child.returncode, said)
            if child.returncode == DISK_REFUSED_STATUS:
                raise storage_failed()
            raise _encoding_failed("the encoder gave up")


def _encoding_failed(reason: str) -> ApiError:
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "encoding_failed",
        f"The audio could not be encoded ({reason}); request the `format` listed in outputs.",
    )


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
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if has_already(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        stat = os.stat(path)
    except FileNotFoundError as error:
        raise ArtifactNotFound(f"{path.name} is gone") from error
    response = FileResponse(
        path,
        headers=headers,
        media_type=MEDIA_TYPES[path.suffix.removeprefix(".")],
        filename=filename,
        stat_result=stat,
    )
    _check_range(request, stat.st_size, (etag, response.headers["last-modified"]))
    return response


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
