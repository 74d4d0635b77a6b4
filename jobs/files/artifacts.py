"""Files of jobs: codes and sound, one folder for each job, nothing half written under its name."""

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Literal

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.growing_sound import GrowingRow, GrowingSound, growing_name
from jobs.files.private_folder import make_private_folder
from jobs.files.stored_codes import CodesOnDisk, StoredCodes, open_codes_file
from jobs.record.job import CodesFile, is_job_id
from jobs.record.request import LEVEL_NAMES

ABANDONED_AFTER_SEC = 600.0
"""An unfinished file that nobody wrote to for so long belongs to a process that died."""

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)
_MAX_NAME_CHARACTERS = 120
_UNFINISHED_PREFIX = ".unfinished-"
_FENCE = re.compile(r"[.-]fence(\d{6})(?=[.-])", re.ASCII)
_UNFINISHED_FENCE = re.compile(r"\.unfinished-fence(\d{6})-", re.ASCII)
_CODES_TENSOR = "codes"
_CHECKSUM_KEY = "codes_sha256"
_CHUNK_BYTES = 1 << 20


def alignment_name(sample: int) -> str:
    """The file of a job that says when the lyrics of one sample are sung.

    Without a fence: its content depends on the top level's codes alone, so whoever writes it writes
    the same.
    """
    return f"alignment-{sample}.json"


def peaks_name(sound_name: str) -> str:
    """The file of a job that has the peaks of one of its sounds."""
    return f"{sound_name.rpartition('.')[0]}.peaks.dat"


def analysis_name(sound_name: str) -> str:
    """The file of a job from which spectrograms of one of its sounds are drawn."""
    return f"{sound_name.rpartition('.')[0]}.spectrum.npz"


class LocalArtifacts:
    """Files of jobs beneath `root`, a folder that the API and the workers share.

    Names that workers choose carry the fence of their claim, so that a worker that lost its lease
    never writes over the files of the one that has it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def write_codes(
        self,
        job_id: str,
        *,
        fence: int,
        level: str,
        start: int,
        codes: NDArray[np.integer],
        run_up: int = 0,
    ) -> CodesFile:
        """Keep the new codes of one window, whole integers [num_samples, n], on disk at once.

        The first `run_up` of them stand before `start` and are not the song's.

        Raises ValueError for codes of another shape or type, OSError when the disk refuses.
        """
        _check_codes(codes)
        end = start + codes.shape[1] - run_up
        name = f"{level}-{start:08d}-{end:08d}-fence{fence:06d}.safetensors"
        content = safetensors.numpy.save({_CODES_TENSOR: _as_int32(codes)})
        with self.new_file(job_id, name, fence=fence) as path:
            path.write_bytes(content)
        return CodesFile(
            name=name,
            level=level,
            start=start,
            end=end,
            sha256=hashlib.sha256(content).hexdigest(),
            num_bytes=len(content),
            run_up=run_up,
        )

    def read_codes(
        self, job_id: str, codes: CodesFile, *, with_run_up: bool = False
    ) -> NDArray[np.int64]:
        """The codes of one window, int64 [num_samples, end - start], or some more with its run-up.

        Raises ArtifactNotFound, and ArtifactCorrupt when the file is not the one recorded.
        """
        content = self._read(job_id, codes.name)
        if hashlib.sha256(content).hexdigest() != codes.sha256:
            raise ArtifactCorrupt(f"{codes.name} of {job_id} does not have its recorded hash")
        tensor = _load(job_id, codes.name, content).get(_CODES_TENSOR)
        num_tokens = codes.run_up + codes.end - codes.start
        if tensor is None or tensor.ndim != 2 or tensor.shape[1] != num_tokens:
            raise ArtifactCorrupt(
                f"{codes.name} of {job_id} does not hold codes [samples, {num_tokens}]"
            )
        return tensor[:, 0 if with_run_up else codes.run_up :].astype(np.int64)

    def write_all_codes(
        self,
        job_id: str,
        *,
        fence: int,
        codes: Mapping[str, NDArray[np.integer] | CodesOnDisk],
        metadata: Mapping[str, str],
        kind: Literal["codes", "prompt"] = "codes",
    ) -> str:
        """Keep whole levels in one safetensors file of int32 [num_samples, T]; returns its name.

        The name tells apart what a job has made and the prompt that it began with. `metadata` goes
        into the file's header, where any reader of safetensors finds it.
        Raises ValueError for a level that does not exist or codes of another shape or type.
        """
        for level, level_codes in codes.items():
            if level not in LEVEL_NAMES:
                raise ValueError(f"no level is called {level!r}: {', '.join(LEVEL_NAMES)}")
            if not isinstance(level_codes, CodesOnDisk):
                _check_codes(level_codes)
        tensors: dict[str, NDArray[np.integer] | CodesOnDisk] = {
            level: codes[level] for level in LEVEL_NAMES if level in codes
        }
        header = {**metadata, _CHECKSUM_KEY: _checksum(tensors)}
        finest = next(reversed(tensors), "no")
        name = f"{kind}-to-{finest}-fence{fence:06d}.safetensors"
        with self.new_file(job_id, name, fence=fence) as path:
            _write_tensors(path, tensors, header)
        return name

    def read_all_codes(self, job_id: str, name: str) -> dict[str, NDArray[np.int64]]:
        """What `write_all_codes` kept, as int64 [num_samples, T] per level, coarse to fine.

        Raises ArtifactNotFound, ArtifactCorrupt.
        """
        stored = self.open_codes(job_id, name)
        return {level: codes.to_array().astype(np.int64) for level, codes in stored.items()}

    def open_codes(self, job_id: str, name: str) -> dict[str, StoredCodes]:
        """The same on disk, for those who read a row at a time; its hash has been checked.

        Raises ArtifactNotFound, ArtifactCorrupt.
        """
        path = self.path(job_id, name)
        try:
            tensors, metadata = open_codes_file(path)
            checksum = _checksum(tensors)
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"job {job_id!r} has no file {name!r}") from error
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(f"{name} of {job_id} cannot be read: {error}") from error
        if metadata.get(_CHECKSUM_KEY) != checksum:
            raise ArtifactCorrupt(f"{name} of {job_id} does not hold what was written")
        return {level: tensors[level] for level in LEVEL_NAMES if level in tensors}

    @contextmanager
    def new_file(self, job_id: str, name: str, *, fence: int | None = None) -> Iterator[Path]:
        """A path to write to, with the suffix of `name`; at the end the file gets its name.

        By then it is on disk. When the block raises, nothing is left behind. Whoever holds a claim
        gives its `fence`: so others can tell later that what a dead process left is nobody's.
        Raises ValueError for an id or a name that is not one.
        """
        if not _is_name(name) or not is_job_id(job_id):
            raise ValueError(f"{job_id!r}/{name!r} is not the name of a job's file")
        folder = self._make_folder(job_id)
        writer = "" if fence is None else f"fence{fence:06d}-"
        unfinished = folder / f"{_UNFINISHED_PREFIX}{writer}{secrets.token_hex(8)}-{name}"
        try:
            yield unfinished
            _sync(unfinished)
            unfinished.replace(folder / name)
            _sync(folder)
        finally:
            unfinished.unlink(missing_ok=True)

    def new_growing_sound(self, job_id: str, *, level: str, row: int, fence: int) -> GrowingSound:
        """The sound of one row of a level, to be written by the claim with this fence."""
        unfinished = f"{_UNFINISHED_PREFIX}fence{fence:06d}-{growing_name(level, row)}"
        path = self._make_folder(job_id) / unfinished
        # Of an attempt of the same claim that was given up.
        path.unlink(missing_ok=True)
        return GrowingSound(path)

    def growing_sounds(self, job_id: str) -> list[GrowingRow]:
        """The sound of a job that is being made, or was when its worker died."""
        found = []
        for path in self._files(job_id):
            writer = _UNFINISHED_FENCE.match(path.name)
            if writer is not None:
                row = GrowingRow.of(path, int(writer[1]), path.name[writer.end() :])
                found += [row] if row is not None else []
        return found

    def nameless_file(self) -> IO[bytes]:
        """A new file on the disk of the jobs' files, which is gone when it is closed or lost."""
        make_private_folder(self._root)
        return tempfile.TemporaryFile(dir=self._root)

    def path(self, job_id: str, name: str) -> Path:
        """Where a finished file is. Raises ArtifactNotFound, also for names that are none."""
        missing = ArtifactNotFound(f"job {job_id!r} has no file {name!r}")
        if not is_job_id(job_id) or not _is_name(name):
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

    def fingerprint(self, job_id: str, name: str) -> tuple[str, int]:
        """SHA-256 in hex, and bytes, of a finished file. Raises ArtifactNotFound."""
        digest, num_bytes = hashlib.sha256(), 0
        with self.path(job_id, name).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                num_bytes += len(chunk)
        return digest.hexdigest(), num_bytes

    def prune(self, job_id: str, keep: set[str], *, fences: range | None = None) -> list[str]:
        """Delete a job's finished files, except those to keep; returns the names that went.

        What was made of a file to keep stays with it: its name is the same up to the first dot.
        Files that another process is writing now stay; those that were abandoned go. With `fences`
        only what was written, or begun, under one of these goes; a name without a fence counts as
        0. So nobody deletes what a later claim has just written and not yet recorded.
        """
        gone = []
        kept_stems = {_stem(name) for name in keep}
        for path in self._files(job_id):
            if _stem(path.name) in kept_stems or not _may_go(path, fences):
                continue
            path.unlink(missing_ok=True)
            gone.append(path.name)
        return sorted(gone)

    def keep_newest(self, job_id: str, pattern: str, number: int) -> None:
        """Delete all but the newest files of a job whose names match `pattern` (as in a shell)."""
        dated = []
        for path in self._files(job_id):
            if _is_name(path.name) and fnmatchcase(path.name, pattern):
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

    def _read(self, job_id: str, name: str) -> bytes:
        try:
            return self.path(job_id, name).read_bytes()
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"job {job_id!r} has no file {name!r}") from error


def _is_name(name: str) -> bool:
    return len(name) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(name) is not None


def _stem(name: str) -> str:
    """A name up to its first dot; the whole of a hidden one."""
    return name if name.startswith(".") else name.partition(".")[0]


def _may_go(path: Path, fences: range | None) -> bool:
    writer = _UNFINISHED_FENCE.search(path.name)
    if writer is not None and fences is not None:
        return int(writer[1]) in fences
    if _is_being_written(path):
        return False
    if fences is None:
        return True
    found = _FENCE.search(path.name)
    return (int(found[1]) if found is not None else 0) in fences


def _is_being_written(path: Path) -> bool:
    # No finished file begins with a dot; encoders have unfinished files of their own names.
    if not path.name.startswith("."):
        return False
    try:
        return time.time() - path.lstat().st_mtime < ABANDONED_AFTER_SEC
    except FileNotFoundError:
        return True


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_codes(codes: NDArray[np.integer]) -> None:
    if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(
            f"codes must be whole numbers [num_samples, n], not {codes.dtype} {list(codes.shape)}"
        )


def _as_int32(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    return np.ascontiguousarray(codes, dtype=np.int32)


def _load(job_id: str, name: str, content: bytes) -> dict[str, NDArray[np.int32]]:
    try:
        tensors: dict[str, NDArray[np.int32]] = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ArtifactCorrupt(f"{name} of {job_id} cannot be read: {error}") from error
    return tensors


def _checksum(tensors: Mapping[str, NDArray[np.integer] | CodesOnDisk]) -> str:
    digest = hashlib.sha256()
    for level in sorted(tensors):
        digest.update(f"{level} int32 {tensors[level].shape};".encode())
        for row in tensors[level]:
            digest.update(_as_int32(row).data)
    return digest.hexdigest()


def _write_tensors(
    path: Path,
    tensors: Mapping[str, NDArray[np.integer] | CodesOnDisk],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file of int32, a row at a time: the library would copy everything.

    The format: the header's length in 8 bytes, the header as JSON, and the tensors one by one.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for level in sorted(tensors):
        shape = list(tensors[level].shape)
        start, end = end, end + math.prod(shape) * np.dtype(np.int32).itemsize
        header[level] = {"dtype": "I32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for level in sorted(tensors):
            for row in tensors[level]:
                file.write(_as_int32(row).data)
