"""A folder of this machine for files that lie in a bucket: what is written, and what was fetched.

Each version of an object has a folder of its own, named after the entity tag, so several processes
may share the cache and none ever reads a version that is out of date.
"""

import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from jobs.files.private_folder import make_private_folder
from jukebox_core.buckets import Bucket, StoredObject

log = logging.getLogger(__name__)

IN_USE_SEC = 60.0
"""What was asked for so lately is not removed: somebody may be about to open it."""
ABANDONED_AFTER_SEC = 86_400.0
"""Scratch that nobody wrote to for so long belongs to a process that died."""
_LOOK_SHARE = 16
"""The cache is looked through whenever this part of its size has been added."""


class LocalCache:
    """Files below `folder`, of at most `max_bytes` together beside those in use. For threads."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._files, self._scratch = folder.absolute() / "files", folder.absolute() / "scratch"
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._added_bytes: int | None = None
        """Since the last look through the cache; None before the first."""

    def check(self) -> None:
        """Raises OSError where nothing can be written."""
        with TemporaryFile(dir=self.scratch_folder()):
            pass

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder to write in; at the end it is gone, with all that is still in it."""
        folder = self.scratch_folder() / secrets.token_hex(8)
        folder.mkdir(mode=0o750)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def scratch_folder(self) -> Path:
        """Where unfinished files may be written; made if need be."""
        make_private_folder(self._scratch)
        return self._scratch

    def find(self, key: str, etag: str) -> Path | None:
        """The file of one version of an object, if it is here."""
        path = self._place(key, etag)
        try:
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return path

    def copy_of(self, bucket: Bucket, stored: StoredObject) -> Path:
        """An object as a file of this machine: in this version, or a newer one if that is gone.

        Raises FileNotFoundError if there is none, and BucketError.
        """
        found = self.find(stored.key, stored.etag)
        if found is not None:
            return found
        with self.scratch() as folder:
            fetched = bucket.download(stored.key, folder / "fetched")
            return self.take(folder / "fetched", stored.key, fetched.etag)

    def take(self, path: Path, key: str, etag: str) -> Path:
        """Keep a finished file of this disk as a version of an object; returns where it is then."""
        num_bytes, place = path.stat().st_size, self._place(key, etag)
        # Another process may remove a folder that is empty at this moment.
        for _ in range(3):
            make_private_folder(place.parent)
            with suppress(FileNotFoundError):
                path.replace(place)
                break
        self._make_room(num_bytes)
        return place

    def forget(self, key: str) -> None:
        """Remove every version of an object, or of all objects below a folder."""
        shutil.rmtree(self._files / key, ignore_errors=True)

    def _place(self, key: str, etag: str) -> Path:
        version = hashlib.sha256(etag.encode()).hexdigest()[:24]
        return self._files / key / version / key.rpartition("/")[2]

    def _make_room(self, num_bytes: int) -> None:
        with self._lock:
            is_first = self._added_bytes is None
            self._added_bytes = (self._added_bytes or 0) + num_bytes
            if not is_first and self._added_bytes * _LOOK_SHARE <= self._max_bytes:
                return
            self._added_bytes = 0
        self._remove_abandoned()
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        found = sorted(self._all_files())
        left_bytes, now = sum(num_bytes for _, num_bytes, _ in found), time.time()
        for used_at, num_bytes, path in found:
            if left_bytes <= self._max_bytes or now - used_at < IN_USE_SEC:
                return
            with suppress(OSError):
                path.unlink()
                left_bytes -= num_bytes
                os.removedirs(path.parent)

    def _all_files(self) -> Iterator[tuple[float, int, Path]]:
        for folder, _, names in os.walk(self._files):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path

    def _remove_abandoned(self) -> None:
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._scratch):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime < ABANDONED_AFTER_SEC:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)
