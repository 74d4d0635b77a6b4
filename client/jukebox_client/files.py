"""What the service says about a file without sending it."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """The head of an answer with a file. `etag` is the SHA-256 of the file in quotes."""

    media_type: str
    num_bytes: int | None
    etag: str


def file_info(response: httpx.Response) -> FileInfo:
    """What the head of an answer says; a proxy may have dropped the size."""
    length = response.headers.get("content-length", "")
    return FileInfo(
        media_type=response.headers.get("content-type", ""),
        num_bytes=int(length) if length.isdigit() else None,
        etag=response.headers.get("etag", ""),
    )
