"""Files of jobs in a folder that the API and the workers share."""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import (
    Artifacts,
    check_file_name,
    growing_name_of,
    is_name,
    names_to_prune,
    unfinished_name,
)
from jobs.files.growing_sound import GrowingRow, GrowingSound, LocalGrowingRow, growing_name
from jobs.files.private_folder import make_private_folder
from jobs.record.job import is_job_id


class LocalArtifacts(Artifacts):
    """Files of jobs beneath `root`: what is finished is on the disk, and survives a power cut."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @contextmanager
    def new_file(
        self,
        job_id: str,
        name: str,
        *,
        fence: int | None = None,
        download_name: str | None = None,
    ) -> Iterator[Path]:
        """As `Artifacts` says: the file is renamed once it is on the disk."""
        del download_name
        check_file_name(job_id, name)
        folder = self._make_folder(job_id)
        unfinished = folder / unfinished_name(f"{secrets.token_hex(8)}-{name}", fence)
        try:
            yield unfinished
            _sync(unfinished)
            unfinished.replace(folder / name)
            _sync(folder)
        finally:
            unfinished.unlink(missing_ok=True)

    def new_growing_sound(self, job_id: str, *, level: str, row: int, fence: int) -> GrowingSound:
        """The sound of one row of a level, to be written by the claim with this fence."""
        path = self._make_folder(job_id) / unfinished_name(growing_name(level, row), fence)
        # Of an attempt of the same claim that was given up.
        path.unlink(missing_ok=True)
        return GrowingSound(path)

    def growing_sounds(self, job_id: str) -> list[GrowingRow]:
        """The sound of a job that is being made, or was when its worker died."""
        found: list[GrowingRow] = []
        for path in self._files(job_id):
            writer = growing_name_of(path.name)
            row = writer and LocalGrowingRow.of(path, *writer)
            found += [row] if row else []
        return found

    def nameless_file(self) -> IO[bytes]:
        """A new file on the disk of the jobs' files, which is gone when it is closed or lost."""
        make_private_folder(self._root)
        return tempfile.TemporaryFile(dir=self._root)

    def path(self, job_id: str, name: str) -> Path:
        """Where a finished file is. Raises ArtifactNotFound, also for names that are none."""
        missing = ArtifactNotFound(f"job {job_id!r} has no file {name!r}")
        if not is_job_id(job_id) or not is_name(name):
            raise missing
        folder = self._root / job_id
        try:
            in_place = stat.S_ISDIR(folder.lstat().st_mode) and stat.S_ISREG(
                (folder / name).lstat().st_mode
            )
        except (FileNotFoundError, NotADirectoryError):
            raise missing from None
        if not in_place:
            raise missing
        return folder / name

    def discard(self, job_id: str, name: str) -> None:
        """Delete one finished file, if it is there."""
        with contextlib.suppress(ArtifactNotFound):
            self.path(job_id, name).unlink(missing_ok=True)

    def stored_bytes(self) -> dict[str, int]:
        """What each job that has files takes up, in bytes."""
        try:
            job_ids = [entry.name for entry in os.scandir(self._root) if is_job_id(entry.name)]
        except FileNotFoundError:
            return {}
        return {job_id: _bytes_in(self._root / job_id) for job_id in job_ids}

    def prune(self, job_id: str, keep: set[str], *, fences: range | None = None) -> list[str]:
        """As `Artifacts` says."""
        dated = {}
        for path in self._files(job_id):
            with contextlib.suppress(FileNotFoundError):
                dated[path.name] = path.lstat().st_mtime
        gone = names_to_prune(dated, keep, fences, time.time())
        for name in gone:
            (self._root / job_id / name).unlink(missing_ok=True)
        return gone

    def keep_newest(self, job_id: str, pattern: str, number: int) -> None:
        """Delete all but the newest files of a job whose names match `pattern` (as in a shell)."""
        dated = []
        for path in self._files(job_id):
            if is_name(path.name) and fnmatchcase(path.name, pattern):
                with contextlib.suppress(FileNotFoundError):
                    dated.append((path.lstat().st_mtime_ns, path))
        for _, path in sorted(dated)[: max(len(dated) - number, 0)]:
            path.unlink(missing_ok=True)

    def remove_if_empty(self, job_id: str) -> None:
        """Delete the folder of a job unless there is something in it."""
        if is_job_id(job_id):
            with contextlib.suppress(OSError):
                (self._root / job_id).rmdir()

    def remove_job(self, job_id: str) -> None:
        """Delete all files of a job; does nothing when there are none."""
        if is_job_id(job_id):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._root / job_id)

    def _make_folder(self, job_id: str) -> Path:
        folder = self._root / job_id
        if not folder.is_dir():
            make_private_folder(self._root)
            folder.mkdir(mode=0o750, exist_ok=True)
            _sync(self._root)
        if folder.is_symlink():
            raise ValueError(f"{folder} is a link, not the folder of a job")
        return folder

    def _files(self, job_id: str) -> list[Path]:
        folder = self._root / job_id
        if not is_job_id(job_id) or folder.is_symlink() or not folder.is_dir():
            return []
        return list(folder.iterdir())


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _bytes_in(folder: Path) -> int:
    num_bytes = 0
    try:
        for entry in os.scandir(folder):
            num_bytes += entry.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, NotADirectoryError):  # deleted meanwhile
        return num_bytes
    return num_bytes
