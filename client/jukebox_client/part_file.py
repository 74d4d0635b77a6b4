"""A file on its way: what has arrived, and what to ask for next. No requests are made here.

What arrives is kept beside the file, under a name that belongs to the file's entity tag, so that
another try, even by another process, goes on where the last one stopped. Only answers of GET are
relied on: proxies are known to drop headers of HEAD.
"""

import errno
import hashlib
import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import httpx

from jukebox_client.errors import DownloadFailed

MAX_ATTEMPTS = 5
_SHA256_ETAG = re.compile(r'"([0-9a-f]{64})"')
"""Not every proxy leaves the entity tag as it is."""


class PartFile:
    """One file on its way; its entity tag and length are those of the newest answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._etag = ""
        self._num_bytes: int | None = None

    @property
    def path(self) -> Path:
        """Where the bytes of this entity tag are collected."""
        tag = hashlib.sha256(self._etag.encode()).hexdigest()[:12]
        return self._path.with_name(f".{self._path.name}.{tag}.part")

    @property
    def is_whole(self) -> bool:
        """Whether all of the file is known to be there."""
        return self._have_bytes() > 0 and self._have_bytes() == self._num_bytes

    def headers(self) -> dict[str, str]:
        """Ask for what is missing. A compressed answer would have another length than the file."""
        have = self._have_bytes()
        identity = {"accept-encoding": "identity"}
        return identity | ({"range": f"bytes={have}-", "if-range": self._etag} if have else {})

    def begin(self, response: httpx.Response) -> Literal["ab", "wb"] | None:
        """The mode to open the file with for this answer; None to ask again, for the rest."""
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if _first_byte(response) == self._have_bytes():
                return "ab"
            self.discard()
            return None
        is_first = not self._etag
        self._etag = response.headers.get("etag", "")
        length = response.headers.get("content-length", "")
        self._num_bytes = int(length) if length.isdigit() else None
        # The first answer tells whose bytes an earlier try may have left.
        return None if is_first and self._have_bytes() else "wb"

    def is_complete(self) -> bool:
        """Whether the file is whole, now that an answer has ended as it should."""
        return self._num_bytes is None or self.path.stat().st_size == self._num_bytes

    def discard(self) -> None:
        """Throw away what is no beginning of the file as the service has it now."""
        self.path.unlink(missing_ok=True)

    def broken(self) -> DownloadFailed:
        """What is there after the last attempt."""
        have = self.path.stat().st_size if self.path.exists() else 0
        of_all = "" if self._num_bytes is None else f" of {self._num_bytes}"
        again = "try again to go on from there" if self._etag else "try again"
        return DownloadFailed(
            f"the connection broke {MAX_ATTEMPTS} times; {have}{of_all} bytes are kept: {again}"
        )

    def unwritable(self, error: OSError) -> DownloadFailed:
        """The system did not take the bytes; what it took is kept."""
        return DownloadFailed(
            f"{self._path} cannot be written: {error.strerror or error}. Try again to go on from "
            "what is there"
        )

    def check(self, sha256: str | None, *, etag_is_sha256: bool) -> None:
        """Raises DownloadFailed, and throws the bytes away, if they have another hash."""
        if sha256 is None and etag_is_sha256 and (named := _SHA256_ETAG.fullmatch(self._etag)):
            sha256 = named[1]
        if sha256 is not None and sha256_of(self.path) != sha256:
            self.discard()
            raise DownloadFailed(f"{self._path.name} is corrupted (SHA-256 mismatch): try again")

    def _have_bytes(self) -> int:
        """What can be resumed: nothing without an entity tag, which says what the bytes are of."""
        return self.path.stat().st_size if self._etag and self.path.exists() else 0


def move_into_place(finished: Path, path: Path, *, overwrite: bool) -> Path:
    """Rename a finished file to `path`. Raises FileExistsError."""
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return finished.replace(path)


def _first_byte(response: httpx.Response) -> int | None:
    """Offset in the file of the part that was sent, in bytes; None if it is not said."""
    start = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
