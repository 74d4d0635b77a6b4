"""One file over HTTP: resumed where it broke off, checked, and in its place only when whole.

While it grows, a file is called `NAME.part`; beside it, `NAME.part.json` says which version of
which file it is a part of, so that two versions are never glued together.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, NoReturn

import httpx

from jukebox_core.errors import DownloadError
from jukebox_core.small_files import read_small_json

ROOM_BYTES = 1 << 20
"""Free on the disk at every moment while a file of unknown length comes."""
PATIENCE = 5
"""How often a server may fail in a row, without one more byte, before we give up."""

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

# No compression: ranges and sizes would count other bytes than ours.
_HEADERS = {"User-Agent": "jukebox-service", "Accept-Encoding": "identity"}

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes there are, and the bytes there will be where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file elsewhere, with what is known of it beforehand."""

    url: str
    num_bytes: int | None = None
    sha256: str | None = None
    max_bytes: int | None = None
    """More than this is never taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """What a server said of a file when the first part of it came."""

    url: str
    etag: str | None
    num_bytes: int | None


class _Interrupted(Exception):
    """The connection or the server failed in a way that may pass."""


def sha256_of(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    remote: RemoteFile,
    destination: Path,
    *,
    progress: Progress | None = None,
    timeout_sec: float = 60.0,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch `remote` into `destination`, which appears only when it is whole and right.

    Goes on from what an earlier call left behind. A connection that breaks is taken up again;
    `pause` is called between attempts that gained nothing.

    Raises:
        DownloadError: there is no such file, the server keeps failing, the disk is too small, or
            what came has another size or hash than it should. Nothing that is known to be wrong
            is kept.
    """
    if not remote.url.startswith(("http://", "https://")):
        raise DownloadError(f"{remote.url!r} is no address: it should begin with https://")
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    with _client(timeout_sec) as client:
        _fetch(_Attempt(client, remote, part, progress), remote, pause)
    _check(remote, part)
    os.replace(part, destination)
    _note_of(part).unlink(missing_ok=True)


def _client(timeout_sec: float) -> httpx.Client:
    """One that gives up on a server that is silent for so long, at any moment."""
    try:
        return httpx.Client(headers=_HEADERS, timeout=timeout_sec, follow_redirects=True)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise DownloadError(f"the proxy in the environment is of no use: {error}") from error


def _fetch(attempt: "_Attempt", remote: RemoteFile, pause: Callable[[float], None]) -> None:
    failures = 0
    while not attempt.is_complete:
        before_bytes = attempt.num_bytes_there
        try:
            attempt.go_on()
        except _Interrupted as error:
            failures = 1 if attempt.num_bytes_there > before_bytes else failures + 1
            if failures >= PATIENCE:
                raise DownloadError(
                    f"{remote.url} could not be fetched whole ({attempt.num_bytes_there:,} bytes "
                    f"are kept; the same command goes on from there): {error}"
                ) from error
            pause(min(2.0 ** (failures - 1), 30.0))


class _Attempt:
    """A file on its way, over as many connections as it takes."""

    def __init__(
        self, client: httpx.Client, remote: RemoteFile, part: Path, progress: Progress | None
    ) -> None:
        self._client, self._remote, self._part = client, remote, part
        self._progress = progress
        self._version = _read_version(part)
        self.is_complete = False
        if self._version is None or self._version.url != remote.url:
            self._version = None
            part.unlink(missing_ok=True)

    @property
    def num_bytes_there(self) -> int:
        """How much of the file is on the disk."""
        return self._part.stat().st_size if self._part.exists() else 0

    def go_on(self) -> None:
        """One request, and all that it brings.

        Raises:
            _Interrupted: it brought less than the rest.
            DownloadError: asking again would not help.
        """
        wanted = self._version.num_bytes if self._version else None
        if wanted is not None and self.num_bytes_there == wanted:
            self.is_complete = True
            return
        try:
            with self._client.stream("GET", self._remote.url, headers=self._range()) as response:
                if not response.is_success:
                    self._refuse_answer(response)
                self._take(response)
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise DownloadError(f"{self._remote.url} leads nowhere: {error}") from error
        except (httpx.HTTPError, OSError) as error:
            raise _Interrupted(str(error) or type(error).__name__) from error

    def _range(self) -> dict[str, str]:
        """Headers that ask for what is not there."""
        there = self.num_bytes_there
        if not there or self._version is None:
            return {}
        headers = {"Range": f"bytes={there}-"}
        if self._version.etag:
            headers["If-Range"] = self._version.etag
        return headers

    def _take(self, response: httpx.Response) -> None:
        there = self.num_bytes_there
        goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
        total = _total_bytes(response, there if goes_on else 0)
        version = _Version(url=self._remote.url, etag=_strong_etag(response), num_bytes=total)
        if goes_on and not self._fits(response, version, there):
            self._forget()
            raise _Interrupted("the file changed on the server, so it is fetched anew")
        if not goes_on:
            there = 0
        self._refuse_size(total)
        _refuse_small_disk(self._part, self._remote.url, (total or 0) - there)
        self._version = version
        _note_of(self._part).write_text(json.dumps(asdict(version)), encoding="utf-8")
        with self._part.open("ab" if goes_on else "wb") as file:
            received = self._copy(response, file, there, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and received < total:
            raise _Interrupted(f"the connection broke after {received:,} of {total:,} bytes")
        self.is_complete = True

    def _fits(self, response: httpx.Response, version: _Version, there: int) -> bool:
        """Whether the rest that is offered belongs to what is there."""
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        known = self._version
        return (
            begins
            and known is not None
            and (known.etag, known.num_bytes)
            == (
                version.etag,
                version.num_bytes,
            )
        )

    def _copy(
        self, response: httpx.Response, file: BinaryIO, received: int, total: int | None
    ) -> int:
        name = self._part.name.removesuffix(".part")
        # As it comes: in chunks of a size, the last would be lost when the connection breaks.
        for chunk in response.iter_raw():
            received += len(chunk)
            self._refuse_excess(received)
            if total is None:
                _refuse_small_disk(self._part, self._remote.url, ROOM_BYTES)
            file.write(chunk)
            if self._progress is not None:
                self._progress(name, received, total)
        return received

    def _refuse_excess(self, num_bytes: int) -> None:
        limit = self._remote.num_bytes or self._remote.max_bytes
        if limit is not None and num_bytes > limit:
            self._forget()
            raise DownloadError(
                f"{self._remote.url} has more than {limit:,} bytes, and the right file has not"
            )

    def _refuse_size(self, total: int | None) -> None:
        if total is not None:
            self._refuse_excess(total)
        wanted = self._remote.num_bytes
        if wanted is not None and total is not None and total != wanted:
            self._forget()
            raise DownloadError(
                f"{self._remote.url} has {total:,} bytes there, and the right file has {wanted:,}"
            )

    def _refuse_answer(self, response: httpx.Response) -> NoReturn:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._forget()
            raise _Interrupted("the server has less than we do, so it is fetched anew")
        answer = f"the server answered {response.status_code} {response.reason_phrase}".strip()
        if response.status_code in _PASSING_STATUS:
            raise _Interrupted(answer)
        raise DownloadError(f"{self._remote.url} cannot be fetched: {answer}")

    def _forget(self) -> None:
        self._version = None
        self._part.unlink(missing_ok=True)
        _note_of(self._part).unlink(missing_ok=True)


def _check(remote: RemoteFile, part: Path) -> None:
    num_bytes = part.stat().st_size
    fault = None
    if remote.num_bytes is not None and num_bytes != remote.num_bytes:
        fault = f"{num_bytes:,} bytes where the right file has {remote.num_bytes:,}"
    elif remote.sha256 is not None and (found := sha256_of(part)) != remote.sha256:
        fault = f"SHA-256 {found} where the right file has {remote.sha256}"
    if fault is not None:
        part.unlink()
        _note_of(part).unlink(missing_ok=True)
        raise DownloadError(f"what came from {remote.url} has {fault}; it was thrown away")


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_version(part: Path) -> _Version | None:
    try:
        values = read_small_json(_note_of(part))
        return _Version(**values) if part.exists() else None
    except (OSError, ValueError, TypeError):
        # Without its note nobody knows what the part is a part of.
        return None


def _total_bytes(response: httpx.Response, there: int) -> int | None:
    length = response.headers.get("Content-Length")
    return there + int(length) if length is not None and length.isdigit() else None


def _strong_etag(response: httpx.Response) -> str | None:
    # A weak one says "means the same", which is not enough to go on in the middle of a byte row.
    etag: str | None = response.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else etag


def _refuse_small_disk(part: Path, url: str, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(part.parent).free
    if num_bytes > free_bytes:
        raise DownloadError(
            f"{url} needs {num_bytes:,} more bytes, and {part.parent} has room for {free_bytes:,}"
        )
