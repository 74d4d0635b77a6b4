"""Small files that the processes of a service share and change: in the data folder, or a bucket."""

import fcntl
import logging
import os
import secrets
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jukebox_core.buckets import Bucket, BucketUrl, ObjectChanged, Place, StoredObject
from jukebox_core.errors import BucketError

log = logging.getLogger(__name__)

LOOK_SEC = 1.0
"""How often a watched document in a bucket is looked at."""

_PATIENCE_SEC = 5.0
_MAX_CONFLICTS = 20

Change = Callable[[bytes | None], bytes]
"""The new content of a document, made of the present one; None where there is none yet."""


class Documents(ABC):
    """Documents by name. Every method may raise OSError."""

    @abstractmethod
    def where(self, name: str) -> str:
        """The path or URL of a document, for people."""

    @abstractmethod
    def version(self, name: str) -> Hashable | None:
        """What differs between two versions of a document; None when there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content of a document; None when there is none."""

    @abstractmethod
    def create(self, name: str, content: bytes) -> None:
        """Write a new document, which everybody may read; nothing happens where there is one."""

    @abstractmethod
    def change(self, name: str, change: Change) -> None:
        """Replace a secret document; of two who do so at once, one sees what the other wrote.

        Raises what `change` raises.
        """


def open_documents(place: Place) -> Documents:
    """The documents of a data folder, or of one in a bucket. Raises BucketError."""
    if isinstance(place, BucketUrl):
        return BucketDocuments(Bucket(place, patience_sec=_PATIENCE_SEC))
    return LocalDocuments(place)


class LocalDocuments(Documents):
    """Files in a folder of this machine, or one that machines share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def where(self, name: str) -> str:
        """The path of a document."""
        return str(self._folder / name)

    def version(self, name: str) -> Hashable | None:
        """Each version is a file of its own."""
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self, name: str) -> bytes | None:
        """The content of a document; None when there is none."""
        with suppress(FileNotFoundError):
            return (self._folder / name).read_bytes()
        return None

    def create(self, name: str, content: bytes) -> None:
        """A link, unlike a rename, never replaces a file that is there."""
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}-{secrets.token_hex(16)}"
        try:
            _write(unfinished, content, mode=0o666)
            with suppress(FileExistsError):
                os.link(unfinished, self._folder / name)
        finally:
            unfinished.unlink(missing_ok=True)

    def change(self, name: str, change: Change) -> None:
        """Under a lock beside the file; only its owner may read it."""
        with self._locked(name):
            content = change(self.read(name))
            draft = (self._folder / name).with_suffix(".draft")
            draft.unlink(missing_ok=True)
            _write(draft, content, mode=0o600)
            draft.replace(self._folder / name)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / name).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class BucketDocuments(Documents):
    """Objects directly below the URL of a data folder.

    A document whose `version` was asked for is looked at every second from then on, by a thread, so
    that asking never waits for the bucket. While that does not answer, what was last seen is true.
    The thread ends when nobody holds this object any more.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._watched: dict[str, tuple[bytes, StoredObject] | None] = {}

    def where(self, name: str) -> str:
        """The URL of a document."""
        return f"{self._bucket.url}/{name}"

    def version(self, name: str) -> Hashable | None:
        """The entity tag, as of a second ago or two."""
        if name not in self._watched:
            self._see(name, self._fetch(name))
        seen = self._watched[name]
        return seen[1].etag if seen is not None else None

    def read(self, name: str) -> bytes | None:
        """The content of a document; None when there is none."""
        found = self._watched[name] if name in self._watched else self._fetch(name)
        return found[0] if found is not None else None

    def create(self, name: str, content: bytes) -> None:
        """Written on the condition that there is none."""
        with suppress(ObjectChanged):
            self._bucket.write(name, content, is_new=True)
        self._renew(name)

    def change(self, name: str, change: Change) -> None:
        """Written on the condition that nobody else did meanwhile, or else done again."""
        for _ in range(_MAX_CONFLICTS):
            found = self._fetch(name)
            content = change(found[0] if found is not None else None)
            known = found[1] if found is not None else None
            with suppress(ObjectChanged):
                self._bucket.write(name, content, instead_of=known, is_new=known is None)
                self._renew(name)
                return
        raise BucketError(f"{self.where(name)} is changed by others all the time", may_pass=True)

    def _see(self, name: str, found: tuple[bytes, StoredObject] | None) -> None:
        with self._lock:
            is_first = not self._watched
            self._watched[name] = found
        if is_first:
            watch = threading.Thread(
                target=_watch, args=(weakref.ref(self),), name="documents", daemon=True
            )
            watch.start()

    def look(self) -> None:
        """Fetch every watched document. Raises BucketError."""
        for name in [*self._watched]:
            self._watched[name] = self._fetch(name)

    def _fetch(self, name: str) -> tuple[bytes, StoredObject] | None:
        with suppress(FileNotFoundError):
            return self._bucket.read(name)
        return None

    def _renew(self, name: str) -> None:
        if name in self._watched:
            self._watched[name] = self._fetch(name)


def _watch(watched: "weakref.ref[BucketDocuments]") -> None:
    was_away = False
    while True:
        time.sleep(LOOK_SEC)
        documents = watched()
        if documents is None:
            return
        try:
            documents.look()
        except BucketError as error:
            if not was_away:
                log.warning("keys and secrets may be out of date: %s", error)
            was_away = True
        else:
            was_away = False
        del documents


def _write(path: Path, content: bytes, *, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
