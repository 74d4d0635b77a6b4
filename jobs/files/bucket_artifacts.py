"""Files of jobs in object storage, with a cache on this machine for what needs a path.

An object appears whole or not at all, and only after its write was confirmed is its name recorded.
Names without a fence are written conditionally: never over what a later claim wrote.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from jobs.errors import ArtifactNotFound, LeaseLost
from jobs.files.artifacts import (
    Artifacts,
    RemoteFile,
    SignedUrl,
    check_file_name,
    fence_of,
    growing_name_of,
    is_name,
    names_to_prune,
    unfinished_name,
)
from jobs.files.bucket_growing_sound import BucketGrowingRow, BucketGrowingSound
from jobs.files.download_names import MEDIA_TYPES, content_disposition
from jobs.files.growing_sound import GrowingRow, GrowingSound, growing_name
from jobs.files.local_cache import LocalCache
from jobs.record.job import CodesFile, is_job_id
from jukebox_core.buckets import Bucket, ObjectChanged, StoredObject

LISTED_SEC = 0.5
"""How long listeners share one look at the growing sound of a job."""

NUM_READERS = 8
"""Windows that are fetched at once."""

COPIED_BYTES = 8 << 20
"""Files of at most this size are sent from a copy on this machine, which later requests find."""

_FENCE = "fence"
_FOLDER = "artifacts"
_MAX_AHEAD = 32
"""Windows that are fetched before they are asked for."""
_TRIES = 10


class BucketArtifacts(Artifacts):
    """Files of jobs below `artifacts/` in a bucket.

    `path` gives a copy on this machine, which is compared with the bucket at every call: an object
    that was deleted or replaced elsewhere is noticed by its version.
    """

    are_far_away = True

    def __init__(self, bucket: Bucket, cache: LocalCache) -> None:
        self._bucket, self._cache = bucket, cache
        self._ahead: dict[str, _ReadAhead] = {}
        self._rows: dict[str, tuple[float, list[GrowingRow]]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def new_file(
        self,
        job_id: str,
        name: str,
        *,
        fence: int | None = None,
        download_name: str | None = None,
    ) -> Iterator[Path]:
        """As `Artifacts` says: the file is uploaded, and then kept in the cache.

        Raises LeaseLost when a later claim has written a file of this name.
        """
        check_file_name(job_id, name)
        key = _key(job_id, name)
        with self._cache.scratch() as folder:
            path = folder / name
            yield path
            headers = _headers(name, download_name)
            if fence is None or fence_of(name) == fence:
                stored = self._bucket.upload(key, path, headers=headers)
            else:
                stored = self._upload_unless_later(key, path, fence, headers)
            self._cache.take(path, key, stored.etag)

    def _upload_unless_later(
        self, key: str, path: Path, fence: int, headers: Mapping[str, str]
    ) -> StoredObject:
        content = path.read_bytes()
        metadata = {_FENCE: str(fence), **headers}
        for _ in range(_TRIES):
            known = None
            with contextlib.suppress(FileNotFoundError):
                noted, known = self._bucket.metadata(key)
                if int(noted.get(_FENCE, "0")) > fence:
                    raise LeaseLost(f"claim {noted[_FENCE]} has written {key}, and this is {fence}")
            with contextlib.suppress(ObjectChanged):
                return self._bucket.write(
                    key, content, metadata=metadata, instead_of=known, is_new=known is None
                )
        raise LeaseLost(f"others write {key} all the time")

    def new_growing_sound(self, job_id: str, *, level: str, row: int, fence: int) -> GrowingSound:
        """The sound of one row of a level: a file of this machine, copied piece by piece."""
        name = unfinished_name(growing_name(level, row), fence)
        folder = self._cache.scratch_folder()
        return BucketGrowingSound(folder, self._bucket, _key(job_id, name))

    def growing_sounds(self, job_id: str) -> list[GrowingRow]:
        """The sound of a job that is being made, or was when its worker died."""
        if not is_job_id(job_id):
            return []
        with self._lock:
            seen_at, rows = self._rows.get(job_id, (float("-inf"), []))
            if time.monotonic() - seen_at < LISTED_SEC:
                return rows
        found: dict[str, list[StoredObject]] = {}
        for each in self._bucket.below(_key(job_id)):
            name, _, part = each.key.removeprefix(f"{_key(job_id)}/").partition("/")
            if part and growing_name_of(name) is not None:
                found.setdefault(name, []).append(each)
        rows = [*self._growing_rows(found)]
        with self._lock:
            now = time.monotonic()
            self._rows = {each: seen for each, seen in self._rows.items() if now - seen[0] < 60.0}
            self._rows[job_id] = now, rows
        return rows

    def _growing_rows(self, found: dict[str, list[StoredObject]]) -> Iterator[GrowingRow]:
        for unfinished, parts in found.items():
            writer = growing_name_of(unfinished)
            row = writer and BucketGrowingRow.of(self._bucket, parts, *writer)
            if row:
                yield row

    def nameless_file(self) -> IO[bytes]:
        """A new file on the disk of the cache, which is gone when it is closed or lost."""
        return TemporaryFile(dir=self._cache.scratch_folder())

    @contextmanager
    def read_ahead(self, job_id: str, files: Sequence[CodesFile]) -> Iterator[None]:
        """Inside the block these are read, in about this order: several are fetched at once."""
        if len(files) < 2 or not is_job_id(job_id):
            yield
            return
        reader = _ReadAhead(self._bucket, [_key(job_id, file.name) for file in files])
        with self._lock:
            self._ahead[job_id] = reader
        try:
            yield
        finally:
            with self._lock:
                if self._ahead.get(job_id) is reader:
                    del self._ahead[job_id]
            reader.close()

    def path(self, job_id: str, name: str) -> Path:
        """A copy on this machine. Raises ArtifactNotFound, also for names that are none."""
        with self._found(job_id, name) as key:
            return self._cache.copy_of(self._bucket, self._bucket.head(key))

    def to_send(self, job_id: str, name: str) -> Path | RemoteFile:
        """A copy on this machine, or what reads a large file of which there is none."""
        with self._found(job_id, name) as key:
            stored = self._bucket.head(key)
            is_small = stored.num_bytes <= COPIED_BYTES
            if is_small or not stored.sha256 or self._cache.find(key, stored.etag) is not None:
                return self._cache.copy_of(self._bucket, stored)
        return RemoteFile(
            num_bytes=stored.num_bytes,
            sha256=stored.sha256,
            changed_at=stored.changed_at,
            read=partial(self._chunks, job_id, name, stored),
        )

    def _chunks(
        self, job_id: str, name: str, stored: StoredObject, start: int, end: int
    ) -> Iterator[bytes]:
        with self._found(job_id, name):
            yield from self._bucket.read_range(stored, start, end)

    def has(self, job_id: str, name: str) -> bool:
        """Whether there is such a finished file; nothing is fetched."""
        try:
            with self._found(job_id, name) as key:
                self._bucket.head(key)
        except ArtifactNotFound:
            return False
        return True

    def _read(self, job_id: str, name: str) -> bytes:
        with self._lock:
            reader = self._ahead.get(job_id)
        with self._found(job_id, name) as key:
            fetched = reader.take(key) if reader is not None else None
            return fetched if fetched is not None else self._bucket.read(key)[0]

    @contextmanager
    def _found(self, job_id: str, name: str) -> Iterator[str]:
        """The key of a finished file; ArtifactNotFound if it turns out not to be there."""
        missing = ArtifactNotFound(f"job {job_id!r} has no file {name!r}")
        if not is_job_id(job_id) or not is_name(name):
            raise missing
        key = _key(job_id, name)
        try:
            yield key
        except (FileNotFoundError, ObjectChanged):
            self._cache.forget(key)
            raise missing from None

    def download_url(self, job_id: str, name: str, seconds: float) -> SignedUrl:
        """A signed URL of a finished file, for so long. Raises ArtifactNotFound."""
        with self._found(job_id, name) as key:
            stored = self._bucket.head(key)
            return SignedUrl(url=self._bucket.signed_url(key, seconds), sha256=stored.sha256 or "")

    def discard(self, job_id: str, name: str) -> None:
        """Delete one finished file, if it is there."""
        check_file_name(job_id, name)
        self._remove(job_id, [_key(job_id, name)])

    def stored_bytes(self) -> dict[str, int]:
        """What each job that has files takes up, in bytes."""
        found: dict[str, int] = {}
        for each in self._bucket.below(_FOLDER):
            job_id = each.key.removeprefix(f"{_FOLDER}/").partition("/")[0]
            if is_job_id(job_id):
                found[job_id] = found.get(job_id, 0) + each.num_bytes
        return found

    def prune(self, job_id: str, keep: set[str], *, fences: range | None = None) -> list[str]:
        """As `Artifacts` says."""
        objects = self._objects(job_id)
        dated = {name: max(each.changed_at for each in parts) for name, parts in objects.items()}
        gone = names_to_prune(dated, keep, fences, time.time())
        self._remove(job_id, [each.key for name in gone for each in objects[name]])
        return gone

    def keep_newest(self, job_id: str, pattern: str, number: int) -> None:
        """Delete all but the newest files of a job whose names match `pattern` (as in a shell)."""
        dated = sorted(
            (parts[0].changed_at, parts[0].key)
            for name, parts in self._objects(job_id).items()
            if is_name(name) and fnmatchcase(name, pattern)
        )
        self._remove(job_id, [key for _, key in dated[: max(len(dated) - number, 0)]])

    def remove_if_empty(self, job_id: str) -> None:
        """Nothing to do: a bucket has no folders."""

    def remove_job(self, job_id: str) -> None:
        """Delete all files of a job; does nothing when there are none."""
        objects = self._objects(job_id)
        self._remove(job_id, [each.key for parts in objects.values() for each in parts])
        if is_job_id(job_id):
            self._cache.forget(_key(job_id))

    def _objects(self, job_id: str) -> dict[str, list[StoredObject]]:
        """What a job has, by name; growing sound consists of many objects."""
        found: dict[str, list[StoredObject]] = {}
        if is_job_id(job_id):
            for each in self._bucket.below(_key(job_id)):
                name = each.key.removeprefix(f"{_key(job_id)}/").partition("/")[0]
                found.setdefault(name, []).append(each)
        return found

    def _remove(self, job_id: str, keys: Sequence[str]) -> None:
        self._bucket.delete(keys)
        for key in keys:
            self._cache.forget(key)
        with self._lock:
            self._rows.pop(job_id, None)


class _ReadAhead:
    """Fetches small objects before they are asked for, a few at once and not too many."""

    def __init__(self, bucket: Bucket, keys: Sequence[str]) -> None:
        self._bucket, self._waiting = bucket, list(reversed(keys))
        self._lock = threading.Lock()
        self._begun: dict[str, Future[bytes]] = {}
        self._pool = ThreadPoolExecutor(NUM_READERS, thread_name_prefix="read ahead")
        self._fill()

    def take(self, key: str) -> bytes | None:
        """The object, or None if it was not to be read. Raises what `Bucket.read` does."""
        with self._lock:
            begun = self._begun.pop(key, None)
        if begun is None:
            return None
        self._fill()
        return begun.result()

    def close(self) -> None:
        """Fetch nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        with self._lock:
            while self._waiting and len(self._begun) < _MAX_AHEAD:
                key = self._waiting.pop()
                self._begun[key] = self._pool.submit(self._fetch, key)

    def _fetch(self, key: str) -> bytes:
        return self._bucket.read(key)[0]


def _headers(name: str, download_name: str | None) -> dict[str, str]:
    """What the bucket tells those who download a file from it."""
    headers = {}
    if media_type := MEDIA_TYPES.get(name.rpartition(".")[2]):
        headers["Content-Type"] = media_type
    if download_name is not None:
        headers["Content-Disposition"] = content_disposition(download_name)
    return headers


def _key(job_id: str, name: str | None = None) -> str:
    return f"{_FOLDER}/{job_id}" if name is None else f"{_FOLDER}/{job_id}/{name}"
