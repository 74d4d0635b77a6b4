"""Files from the service: resumed where they broke off, checked, and complete or absent."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import httpx

from cli.errors import DownloadError, ServiceProblem, UsageError, system_sentence
from cli.outputs import move_into_place
from cli.service.client import JobView, JukeboxClient, job_path

_MAX_ATTEMPTS = 5


def audio_outputs(
    job: JobView, *, level: str | None = None, take: int | None = None
) -> list[dict[str, Any]]:
    """The sound files of one level, by take; of the finest finished level when none is named.

    Raises:
        UsageError: there is no such sound file yet.
    """
    outputs = list(job["outputs"])
    if level is None and outputs:
        coarse_to_fine = [progress["level"] for progress in job["progress"]["levels"]]
        level = max((o["level"] for o in outputs), key=coarse_to_fine.index)
    chosen = [output for output in outputs if output["level"] == level]
    if not chosen:
        wanted = f"at level {level}" if level else "yet"
        raise UsageError(f"job {job['id']} ({job['status']}) has no sound {wanted}")
    in_order = sorted(chosen, key=lambda output: int(output["sample"]))
    if take is None:
        return in_order
    takes = [int(output["sample"]) for output in in_order]
    if take not in takes:
        has = ", ".join(map(str, takes))
        raise UsageError(f"job {job['id']} has no --take {take} at level {level}; it has {has}")
    return [in_order[takes.index(take)]]


def download_audio(
    client: JukeboxClient,
    job_id: str,
    output: Mapping[str, Any],
    path: Path,
    *,
    audio_format: str,
    overwrite: bool = False,
) -> Path:
    """Fetch one sound file of a job to `path`; its hash is checked when the job names it.

    A job names the hashes of the files it made; other formats are encoded when asked for.
    """
    params = {"level": output["level"], "sample": output["sample"], "format": audio_format}
    return download(
        client,
        f"{job_path(job_id)}/audio",
        params,
        path,
        sha256=named_sha256(output, audio_format),
        overwrite=overwrite,
    )


def named_sha256(output: Mapping[str, Any], audio_format: str) -> str | None:
    """The hash that a job names for one of its sound files; None for a format it did not make."""
    return str(output["sha256"]) if audio_format == output["format"] else None


def download(
    client: JukeboxClient,
    url_path: str,
    params: Mapping[str, Any],
    path: Path,
    *,
    sha256: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Fetch `url_path` to `path`, which is complete or not there at all; returns where it is.

    That is `path`, or beside it if a file has meanwhile appeared there (`cli/outputs.py`).

    What arrives is kept beside it, under a name that belongs to the file's entity tag, so that
    another try, even by another process, goes on where the last one stopped. The answers of GET
    alone are relied on: proxies are known to drop headers of HEAD.

    Raises:
        DownloadError: the connection broke too often, or the bytes have another hash.
        ServiceProblem: the service refused.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fetch = _Fetch(client, url_path, params, path)
    for _ in range(_MAX_ATTEMPTS):
        if fetch.is_whole_after_attempt():
            break
    else:
        raise DownloadError(fetch.broken_sentence())
    if sha256 is not None and sha256_of(fetch.part) != sha256:
        fetch.part.unlink()
        raise DownloadError(f"{url_path} is corrupted (SHA-256 mismatch): try again")
    return move_into_place(fetch.part, path, overwrite=overwrite)


class _Fetch:
    """One file on its way; its entity tag and length are those of the newest answer."""

    def __init__(
        self, client: JukeboxClient, url_path: str, params: Mapping[str, Any], path: Path
    ) -> None:
        self._client, self._url_path, self._params = client, url_path, params
        self._path = path
        self._etag: str | None = None
        self._num_bytes: int | None = None

    @property
    def part(self) -> Path:
        """Where the bytes of this entity tag are collected."""
        tag = hashlib.sha256((self._etag or "").encode()).hexdigest()[:12]
        return self._path.with_name(f".{self._path.name}.{tag}.part")

    def is_whole_after_attempt(self) -> bool:
        """Fetch what is missing; False when the connection broke."""
        return self._begin() if self._etag is None else self._resume()

    def broken_sentence(self) -> str:
        """What is there after the last attempt."""
        have = self.part.stat().st_size if self.part.exists() else 0
        of_all = "" if self._num_bytes is None else f" of {self._num_bytes}"
        again = "try again to go on from there" if self._etag else "try again"
        return f"the connection broke {_MAX_ATTEMPTS} times; {have}{of_all} bytes are kept: {again}"

    def _have_bytes(self) -> int:
        """What can be resumed: nothing without an entity tag, which says what the bytes are of."""
        return self.part.stat().st_size if self._etag and self.part.exists() else 0

    def _begin(self) -> bool:
        with self._get({}) as response:
            self._note(response)
            if not self._have_bytes():
                return self._write(response, "wb")
        return self._resume()

    def _resume(self) -> bool:
        have = self._have_bytes()
        if have and have == self._num_bytes:
            return True
        headers = {"range": f"bytes={have}-", "if-range": self._etag or ""} if have else {}
        try:
            with self._get(headers) as response:
                if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                    if _first_byte(response) == have:
                        return self._write(response, "ab")
                else:
                    self._note(response)
                    return self._write(response, "wb")
        except ServiceProblem as problem:
            if problem.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        self.part.unlink(missing_ok=True)  # not a beginning of the file as the service has it now
        return False

    def _get(self, headers: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        # A compressed answer would have another length than the file.
        wanted = {"accept-encoding": "identity", **headers}
        return self._client.open("GET", self._url_path, headers=wanted, params=self._params)

    def _note(self, response: httpx.Response) -> None:
        self._etag = response.headers.get("etag", "")
        length = response.headers.get("content-length", "")
        self._num_bytes = int(length) if length.isdigit() else None

    def _write(self, response: httpx.Response, mode: Literal["ab", "wb"]) -> bool:
        """Write the body; True when all of the file is there."""
        try:
            with self.part.open(mode) as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        except httpx.TransportError:
            return False
        except OSError as error:
            reason = system_sentence(error)
            raise DownloadError(
                f"{self._path} cannot be written: {reason}. Try again to go on from what is there"
            ) from error
        return self._num_bytes is None or self.part.stat().st_size == self._num_bytes


def _first_byte(response: httpx.Response) -> int | None:
    """Offset in the file of the part that was sent, in bytes; None if it is not said."""
    start = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
