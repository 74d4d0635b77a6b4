"""Files from the service: resumed where they broke off, checked, and complete or absent."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from cli.errors import DownloadError, UsageError
from cli.service.client import JobView, JukeboxClient, job_path

_MAX_ATTEMPTS = 5


def audio_outputs(job: JobView, *, level: str | None = None) -> list[dict[str, Any]]:
    """The sound files of one level, by sample; of the finest finished level when none is named.

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
    return sorted(chosen, key=lambda output: int(output["sample"]))


def download_audio(
    client: JukeboxClient,
    job_id: str,
    output: Mapping[str, Any],
    path: Path,
    *,
    audio_format: str,
) -> Path:
    """Fetch one sound file of a job to `path`; its hash is checked when the job names it.

    A job names the hashes of the files it made; other formats are encoded when asked for.
    """
    params = {"level": output["level"], "sample": output["sample"], "format": audio_format}
    sha256 = output["sha256"] if audio_format == output["format"] else None
    return download(client, f"{job_path(job_id)}/audio", params, path, sha256=sha256)


def download(
    client: JukeboxClient,
    url_path: str,
    params: Mapping[str, Any],
    path: Path,
    *,
    sha256: str | None = None,
) -> Path:
    """Fetch `url_path` to `path`; returns `path`, which is complete or not there at all.

    What arrives is kept beside it, under a name that belongs to the file's entity tag, so that
    another try, even by another process, goes on where the last one stopped.

    Raises:
        DownloadError: the connection broke too often, or the bytes have another hash.
        ServiceProblem: the service refused.
    """
    with client.open("HEAD", url_path, headers={}, params=params) as head:
        etag = head.headers.get("etag", "")
        num_bytes = int(head.headers["content-length"])
    path.parent.mkdir(parents=True, exist_ok=True)
    tag = hashlib.sha256(etag.encode()).hexdigest()[:12]
    part = path.with_name(f".{path.name}.{tag}.part")
    for _ in range(_MAX_ATTEMPTS):
        if _fetch_rest(client, url_path, params, part, etag=etag, num_bytes=num_bytes):
            break
    else:
        raise DownloadError(
            f"the connection broke {_MAX_ATTEMPTS} times; {part.stat().st_size} of {num_bytes} "
            "bytes are kept: try again to go on from there"
        )
    if sha256 is not None and _sha256(part) != sha256:
        part.unlink()
        raise DownloadError(f"{url_path} arrived damaged (sha256 differs): try again")
    part.replace(path)
    return path


def _fetch_rest(
    client: JukeboxClient,
    url_path: str,
    params: Mapping[str, Any],
    part: Path,
    *,
    etag: str,
    num_bytes: int,
) -> bool:
    """Append what is missing; True when all of it is there."""
    have = part.stat().st_size if part.exists() else 0
    if have == num_bytes and have:
        return True
    headers = {"range": f"bytes={have}-", "if-range": etag} if have and etag else {}
    with client.open("GET", url_path, headers=headers, params=params) as response:
        # Anything but 206 starts from the first byte again, or is not worth keeping.
        mode = "ab" if response.status_code == 206 else "wb"
        try:
            with part.open(mode) as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        except httpx.TransportError:
            return False
    return part.stat().st_size == num_bytes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
