"""Files of jobs: codes and sound, one folder for each job, nothing half written under its name.

`Artifacts` is what the service asks for; `local_artifacts.py` keeps the files in a folder,
`bucket_artifacts.py` in object storage.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.codes_files import (
    as_int32,
    check_codes,
    codes_checksum,
    load_codes,
    write_codes_file,
)
from jobs.files.growing_sound import GrowingRow, GrowingSound
from jobs.files.stored_codes import CodesOnDisk, StoredCodes, codebooks_of, open_codes_file
from jobs.record.job import CodesFile, is_job_id
from jobs.record.request import LEVEL_NAMES
from jukebox_core.codes_file import codebook_metadata

ABANDONED_AFTER_SEC = 600.0
"""An unfinished file that nobody wrote to for so long belongs to a process that died."""
UNFINISHED_PREFIX = ".unfinished-"

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)
_MAX_NAME_CHARACTERS = 120
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A finished file that is read where it is, without a copy on this machine.

    `read` gives the bytes from one place to another, the last not included, in chunks; it raises
    ArtifactNotFound, and BucketError. `changed_at` is in seconds since 1970.
    """

    num_bytes: int
    sha256: str
    changed_at: float
    read: Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """Where a client finds a finished file without credentials; `sha256` is empty if unknown."""

    url: str
    sha256: str


class Artifacts(ABC):
    """The files of all jobs, which the API and the workers share.

    Names that workers choose carry the fence of their claim, so that a worker that lost its lease
    never writes over the files of the one that has it. Every method may raise OSError when the
    storage refuses.
    """

    are_far_away = False
    """Whether looking through all of them takes long."""

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
        check_codes(codes)
        end = start + codes.shape[1] - run_up
        name = f"{level}-{start:08d}-{end:08d}-fence{fence:06d}.safetensors"
        content = safetensors.numpy.save({_CODES_TENSOR: as_int32(codes)})
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
        tensor = load_codes(job_id, codes.name, content).get(_CODES_TENSOR)
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
        download_name: str | None = None,
    ) -> str:
        """Keep whole levels in one safetensors file of int32 [num_samples, T]; returns its name.

        The name tells apart what a job has made and the prompt that it began with. `metadata` goes
        into the file's header, where any reader of safetensors finds it, and so do the codebooks of
        codes on disk that know theirs.
        Raises ValueError for a level that does not exist or codes of another shape or type.
        """
        for level, level_codes in codes.items():
            if level not in LEVEL_NAMES:
                raise ValueError(f"no level is called {level!r}: {', '.join(LEVEL_NAMES)}")
            if not isinstance(level_codes, CodesOnDisk):
                check_codes(level_codes)
        tensors: dict[str, NDArray[np.integer] | CodesOnDisk] = {
            level: codes[level] for level in LEVEL_NAMES if level in codes
        }
        codebooks = codebook_metadata(codebooks_of(tensors))
        header = {**metadata, **codebooks, _CHECKSUM_KEY: codes_checksum(tensors)}
        finest = next(reversed(tensors), "no")
        name = f"{kind}-to-{finest}-fence{fence:06d}.safetensors"
        with self.new_file(job_id, name, fence=fence, download_name=download_name) as path:
            write_codes_file(path, tensors, header)
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
            checksum = codes_checksum(tensors)
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"job {job_id!r} has no file {name!r}") from error
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(f"{name} of {job_id} cannot be read: {error}") from error
        if metadata.get(_CHECKSUM_KEY) != checksum:
            raise ArtifactCorrupt(f"{name} of {job_id} does not hold what was written")
        return {level: tensors[level] for level in LEVEL_NAMES if level in tensors}

    @abstractmethod
    def new_file(
        self,
        job_id: str,
        name: str,
        *,
        fence: int | None = None,
        download_name: str | None = None,
    ) -> AbstractContextManager[Path]:
        """A path to write to, with the suffix of `name`; at the end the file gets its name.

        By then it is on disk. When the block raises, nothing is left behind. Whoever holds a claim
        gives its `fence`: so others can tell later that what a dead process left is nobody's.
        `download_name` is what browsers save the file as that the storage sends them to.
        Raises ValueError for an id or a name that is not one.
        """

    def read_ahead(self, job_id: str, files: Sequence[CodesFile]) -> AbstractContextManager[object]:
        """Inside the block these are read, in about this order: storage far away begins at once."""
        del job_id, files
        return nullcontext()

    @abstractmethod
    def new_growing_sound(self, job_id: str, *, level: str, row: int, fence: int) -> GrowingSound:
        """The sound of one row of a level, to be written by the claim with this fence."""

    @abstractmethod
    def growing_sounds(self, job_id: str) -> list[GrowingRow]:
        """The sound of a job that is being made, or was when its worker died."""

    @abstractmethod
    def nameless_file(self) -> IO[bytes]:
        """A new file on the disk of the jobs' files, which is gone when it is closed or lost."""

    @abstractmethod
    def path(self, job_id: str, name: str) -> Path:
        """Where a finished file is. Raises ArtifactNotFound, also for names that are none."""

    def to_send(self, job_id: str, name: str) -> Path | RemoteFile:
        """A finished file for somebody who may want a part of it. Raises ArtifactNotFound."""
        return self.path(job_id, name)

    def has(self, job_id: str, name: str) -> bool:
        """Whether there is such a finished file."""
        try:
            self.path(job_id, name)
        except ArtifactNotFound:
            return False
        return True

    def download_url(self, job_id: str, name: str, seconds: float) -> SignedUrl | None:
        """A URL of a finished file that clients may be sent to; None where files have none.

        Raises ArtifactNotFound where there could be one, and the file is gone.
        """
        del job_id, name, seconds
        return None

    @abstractmethod
    def discard(self, job_id: str, name: str) -> None:
        """Delete one finished file, if it is there."""

    @abstractmethod
    def stored_bytes(self) -> dict[str, int]:
        """What each job that has files takes up, in bytes."""

    @abstractmethod
    def prune(self, job_id: str, keep: set[str], *, fences: range | None = None) -> list[str]:
        """Delete a job's finished files, except those to keep; returns the names that went.

        What was made of a file to keep stays with it: its name is the same up to the first dot.
        Files that another process is writing now stay; those that were abandoned go. With `fences`
        only what was written, or begun, under one of these goes; a name without a fence counts as
        0. So nobody deletes what a later claim has just written and not yet recorded.
        """

    @abstractmethod
    def keep_newest(self, job_id: str, pattern: str, number: int) -> None:
        """Delete all but the newest files of a job whose names match `pattern` (as in a shell)."""

    @abstractmethod
    def remove_if_empty(self, job_id: str) -> None:
        """Delete the folder of a job unless there is something in it."""

    @abstractmethod
    def remove_job(self, job_id: str) -> None:
        """Delete all files of a job; does nothing when there are none."""

    def fingerprint(self, job_id: str, name: str) -> tuple[str, int]:
        """SHA-256 in hex, and bytes, of a finished file. Raises ArtifactNotFound."""
        return fingerprint_of(self.path(job_id, name))

    def _read(self, job_id: str, name: str) -> bytes:
        try:
            return self.path(job_id, name).read_bytes()
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"job {job_id!r} has no file {name!r}") from error


def fingerprint_of(path: Path) -> tuple[str, int]:
    """SHA-256 in hex, and bytes, of a file of this machine."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return digest.hexdigest(), num_bytes


def is_name(name: str) -> bool:
    """Whether `name` may be that of a job's finished file."""
    return len(name) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(name) is not None


def check_file_name(job_id: str, name: str) -> None:
    """Raises ValueError for an id or a name that is not one."""
    if not is_name(name) or not is_job_id(job_id):
        raise ValueError(f"{job_id!r}/{name!r} is not the name of a job's file")


def unfinished_name(name: str, fence: int | None) -> str:
    """What a file is called while it is written, by the claim with this fence if by any."""
    writer = "" if fence is None else f"fence{fence:06d}-"
    return f"{UNFINISHED_PREFIX}{writer}{name}"


def growing_name_of(unfinished: str) -> tuple[int, str] | None:
    """Fence and name of an unfinished file that a claim writes; None for any other name."""
    writer = _UNFINISHED_FENCE.match(unfinished)
    return (int(writer[1]), unfinished[writer.end() :]) if writer is not None else None


def fence_of(name: str) -> int:
    """The fence in the name of a finished file; 0 where it has none."""
    found = _FENCE.search(name)
    return int(found[1]) if found is not None else 0


def names_to_prune(
    found: Mapping[str, float], keep: set[str], fences: range | None, now: float
) -> list[str]:
    """Which of a job's files may go (`Artifacts.prune`).

    found  name -> when it was last written to, in seconds since 1970
    """
    stems = {_stem(name) for name in keep}
    return sorted(
        name
        for name, changed_at in found.items()
        if _stem(name) not in stems and _may_go(name, now - changed_at, fences)
    )


def _stem(name: str) -> str:
    """A name up to its first dot; the whole of a hidden one."""
    return name if name.startswith(".") else name.partition(".")[0]


def _may_go(name: str, age_sec: float, fences: range | None) -> bool:
    writer = _UNFINISHED_FENCE.search(name)
    if writer is not None and fences is not None:
        return int(writer[1]) in fences
    # No finished file begins with a dot; encoders have unfinished files of their own names.
    if name.startswith(".") and age_sec < ABANDONED_AFTER_SEC:
        return False
    return fences is None or fence_of(name) in fences
