"""The objects below one URL: read, written, listed and deleted."""

import hashlib
import mimetypes
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from jukebox_core.buckets.connection import obstore_library, open_store
from jukebox_core.buckets.errors import bucket_errors, object_name
from jukebox_core.buckets.place import BucketUrl
from jukebox_core.errors import BucketError

Result = TypeVar("Result")

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 2
_CHUNK_BYTES = 1 << 20
_SMALL_CHUNK_BYTES = 1 << 16
"""What a connection that breaks may lose of what has arrived."""
_ATTEMPTS = 4
_SHA256 = "sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as a bucket lists it; `changed_at` in seconds since 1970, by the bucket's clock.

    `sha256` is known of one that was asked about by itself, and written by this class.
    """

    key: str
    num_bytes: int
    etag: str
    changed_at: float
    sha256: str = ""


class Bucket:
    """The objects below one URL; keys are relative to it. Made for threads. All methods block.

    Every method raises BucketError when the bucket refuses, or has not answered for `patience_sec`.
    """

    def __init__(self, url: BucketUrl, *, patience_sec: float = 60.0) -> None:
        self.url, self._patience_sec = url, patience_sec
        self._store = open_store(url, patience_sec)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin with the folder `prefix`, in the order of their keys."""
        last, failures, until = None, 0, time.monotonic() + self._patience_sec
        while True:
            try:
                with bucket_errors(self.url):
                    for batch in obstore_library().list(self._store, prefix, offset=last):
                        for meta in batch:
                            last = meta["path"]
                            yield _stored(meta)
                        until = time.monotonic() + self._patience_sec
                    return
            except BucketError as error:
                failures += 1
                if not error.may_pass or failures == _ATTEMPTS or time.monotonic() > until:
                    raise

    def head(self, key: str) -> StoredObject:
        """Size, version and hash of an object. Raises FileNotFoundError."""
        noted, stored = self.metadata(key)
        return replace(stored, sha256=noted.get(_SHA256, ""))

    def read(self, key: str) -> tuple[bytes, StoredObject]:
        """A small object, whole. Raises FileNotFoundError."""

        def attempt() -> tuple[bytes, StoredObject]:
            found = obstore_library().get(self._store, key)
            content, stored = bytes(found.bytes()), _stored(found.meta)
            digest = hashlib.sha256(content).hexdigest()
            self._compare(stored, found.attributes, len(content), digest)
            return content, stored

        return self._again(key, attempt)

    def metadata(self, key: str) -> tuple[Mapping[str, str], StoredObject]:
        """What was noted with an object when it was written. Raises FileNotFoundError."""

        def attempt() -> tuple[Mapping[str, str], StoredObject]:
            found = obstore_library().get(self._store, key, options={"head": True})
            return {str(name): text for name, text in found.attributes.items()}, _stored(found.meta)

        return self._again(key, attempt)

    def read_part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of an object, the last not included. Raises FileNotFoundError."""
        return self._again(
            key, lambda: bytes(obstore_library().get_range(self._store, key, start=start, end=end))
        )

    def download(self, key: str, target: Path) -> StoredObject:
        """Write an object to `target`, in little memory; what arrives is checked by its hash.

        Raises FileNotFoundError; OSError when the disk refuses.
        """

        def attempt() -> StoredObject:
            found = obstore_library().get(self._store, key)
            stored = _stored(found.meta)
            num_bytes, digest = _copy(found.stream(min_chunk_size=_CHUNK_BYTES), target)
            self._compare(stored, found.attributes, num_bytes, digest)
            return stored

        return self._again(key, attempt)

    def read_range(self, stored: StoredObject, start: int, end: int) -> Iterator[bytes]:
        """Bytes `start` to `end` of one version of an object, the last not included, in chunks.

        A connection that breaks, or ends because whoever reads takes too long, is replaced.
        Raises FileNotFoundError, and ObjectChanged when it is another version by now.
        """
        failures, until = 0, time.monotonic() + self._patience_sec
        while start < end:
            try:
                for chunk in self.read_on(stored.key, start, stored.etag, end=end):
                    start, failures = start + len(chunk), 0
                    yield chunk
                    until = time.monotonic() + self._patience_sec
                if start < end:
                    raise BucketError(
                        f"{object_name(self.url, stored.key)} ends early", may_pass=True
                    )
            except BucketError as error:
                failures += 1
                if not error.may_pass or failures == _ATTEMPTS or time.monotonic() > until:
                    raise

    def read_on(
        self, key: str, start: int, etag: str, *, end: int | None = None
    ) -> Iterator[bytes]:
        """One version of an object from byte `start` on, or up to `end`, a chunk at a time.

        Raises FileNotFoundError, and ObjectChanged when it is another version by now.
        """
        wanted = {"offset": start} if end is None else (start, end)
        options: Any = {"if_match": etag, "range": wanted}
        with bucket_errors(self.url, key):
            found = obstore_library().get(self._store, key, options=options)
            for chunk in found.stream(min_chunk_size=_SMALL_CHUNK_BYTES):
                yield bytes(chunk)

    def upload(
        self, key: str, path: Path, *, headers: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Write a file to an object, which appears whole or not at all.

        `headers`, of `Content-Type` and `Content-Disposition`, are sent to all who read it.
        """
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        attributes = {_SHA256: sha256, "Content-Type": media_type, **(headers or {})}
        with bucket_errors(self.url, key):
            written = obstore_library().put(
                self._store,
                key,
                path,
                attributes=attributes,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        return _written(key, path.stat().st_size, written)

    def write(
        self,
        key: str,
        content: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        instead_of: StoredObject | None = None,
        is_new: bool = False,
    ) -> StoredObject:
        """Write a small object whole: over any other, over one version only, or over none.

        Raises:
            ObjectChanged: it is not (any more) what `instead_of` says, or is there already.
        """
        mode: Any = "create" if is_new else "overwrite"
        if instead_of is not None:
            mode = {"e_tag": instead_of.etag}
        attributes = {_SHA256: hashlib.sha256(content).hexdigest(), **(metadata or {})}
        with bucket_errors(self.url, key):
            written = obstore_library().put(
                self._store, key, content, attributes=attributes, mode=mode, use_multipart=False
            )
        return _written(key, len(content), written)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are gone already do no harm."""
        doomed = list(keys)
        if doomed:
            with bucket_errors(self.url):
                obstore_library().delete(self._store, doomed)

    def signed_url(self, key: str, seconds: float) -> str:
        """A URL that anybody may download the object from, for so long."""
        with bucket_errors(self.url, key):
            return str(obstore_library().sign(self._store, "GET", key, timedelta(seconds=seconds)))

    def _compare(
        self, stored: StoredObject, noted: Mapping[str, str], num_bytes: int, sha256: str
    ) -> None:
        if num_bytes != stored.num_bytes or noted.get(_SHA256, sha256) != sha256:
            raise BucketError(
                f"{object_name(self.url, stored.key)} does not arrive as it was written",
                may_pass=True,
            )

    def _again(self, key: str, attempt: Callable[[], Result]) -> Result:
        """The result of an attempt; of a few, where what arrives is cut off or damaged."""
        until = time.monotonic() + self._patience_sec
        for number in range(1, _ATTEMPTS + 1):
            try:
                with bucket_errors(self.url, key):
                    return attempt()
            except BucketError as error:
                if not error.may_pass or number == _ATTEMPTS or time.monotonic() > until:
                    raise
        raise AssertionError("the last attempt returns or raises")


def _stored(meta: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        key=meta["path"],
        num_bytes=meta["size"],
        etag=meta["e_tag"] or "",
        changed_at=meta["last_modified"].timestamp(),
    )


def _written(key: str, num_bytes: int, result: Mapping[str, Any]) -> StoredObject:
    return StoredObject(key=key, num_bytes=num_bytes, etag=result["e_tag"] or "", changed_at=0.0)


def _copy(chunks: Iterable[bytes], target: Path) -> tuple[int, str]:
    digest, num_bytes = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            num_bytes += len(chunk)
            file.write(chunk)
    return num_bytes, digest.hexdigest()
