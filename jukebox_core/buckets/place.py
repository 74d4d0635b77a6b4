"""A folder of this machine or one in a bucket, as settings and options name it."""

import re
from dataclasses import dataclass
from pathlib import Path

SCHEMES = ("s3://", "gs://", "az://")
OF_BUCKETS = ("AWS_", "GOOGLE_", "AZURE_", "XDG_CACHE_HOME")
"""What the names of variables begin with that tell how a bucket is reached, and where copies go."""

_URL = re.compile(r"(s3|gs|az)://[A-Za-z0-9][\w.-]*(/[^/\\]+)*/*", re.ASCII)
_MEANT_AS_URL = re.compile(r"[a-z][a-z0-9+.-]*://|(s3|gs|az):", re.IGNORECASE)
_IN_NO_URL = re.compile(r"[?#@\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """The URL of a bucket, or of what lies below a prefix in one, without a slash at its end."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "BucketUrl":
        return BucketUrl(f"{self.url}/{name}")


Place = Path | BucketUrl
"""A folder of this machine, or one in a bucket."""


def read_place(value: object) -> Place:
    """A folder or a bucket, as settings and options name it.

    Raises:
        ValueError: the URL has another scheme, no bucket, a query, or a part that would be read
            as another prefix than the one that is written.
    """
    if isinstance(value, Path | BucketUrl):
        return value
    text = str(value)
    scheme = _MEANT_AS_URL.match(text)
    if scheme is None:
        return Path(text)
    is_legal = _URL.fullmatch(text) and not _IN_NO_URL.search(text)
    if not is_legal or {".", ".."} & set(text.split("/")):
        raise ValueError(
            f"{scheme[0].rstrip(':/')}://... is neither a folder nor a bucket: write a path, or "
            f"one of {', '.join(f'{each}BUCKET/PREFIX' for each in SCHEMES)} without a query, "
            "blanks, empty parts or dots alone between two slashes. "
            "Credentials come from the environment (AWS_ACCESS_KEY_ID and the like)"
        )
    return BucketUrl(text.rstrip("/"))
