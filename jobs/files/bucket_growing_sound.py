"""Sound of a level while it is made, for listeners on other machines: a part is an object.

The worker writes a file of its own; behind it a thread copies what is new, all that has gathered
meanwhile as one part. Listening is worth no failed song: what cannot be copied now is tried again
with the next piece, and what is left over is removed with the other files of the claim.
"""

import logging
import re
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.files.growing_sound import SAMPLE_BYTES, GrowingRow, GrowingSound, level_and_row
from jukebox_core.buckets import Bucket, StoredObject
from jukebox_core.errors import BucketError

log = logging.getLogger(__name__)

_MAX_PART_BYTES = 4 << 20
_PART = re.compile(r".*/(\d{12})-(\d{12})-[0-9a-f]{8}", re.ASCII)


class BucketGrowingSound(GrowingSound):
    """The sound of one row while its worker makes it; closing deletes it here and in the bucket."""

    def __init__(self, folder: Path, bucket: Bucket, prefix: str) -> None:
        super().__init__(folder / f"{secrets.token_hex(8)}.pcm")
        self._bucket, self._prefix = bucket, prefix
        # Parts of one attempt follow each other; those of an earlier one of this claim do not fit.
        self._attempt = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._num_bytes = self._num_copied = 0
        self._keys: list[str] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="growing sound")
        self._copying: Future[None] | None = None
        self._is_closed = False

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add int16 [n]. Raises OSError when the disk refuses."""
        super().append(samples)
        with self._lock:
            self._num_bytes += samples.size * SAMPLE_BYTES
            if self._copying is None or self._copying.done():
                self._copying = self._pool.submit(self._copy)

    def close(self) -> None:
        """Delete it, here at once and in the bucket as soon as that answers."""
        self._is_closed = True
        self._pool.submit(self._delete)
        self._pool.shutdown(wait=False)
        super().close()

    def _copy(self) -> None:
        while not self._is_closed:
            start = self._num_copied
            with self._lock:
                end = min(self._num_bytes, start + _MAX_PART_BYTES)
                if end == start:
                    self._copying = None
                    return
            key = f"{self._prefix}/{start:012d}-{end:012d}-{self._attempt}"
            try:
                self._keys.append(key)
                self._bucket.write(key, self._bytes(start, end))
            except (BucketError, OSError, ValueError) as error:
                log.warning("listeners of %s wait: %s", self._prefix, error)
                with self._lock:
                    self._copying = None
                return
            self._num_copied = end

    def _bytes(self, start: int, end: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _delete(self) -> None:
        try:
            self._bucket.delete(self._keys)
        except BucketError as error:
            log.warning("growing sound stays for now: %s", error)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketGrowingRow(GrowingRow):
    """A row as far as its parts are in the bucket: `parts` follow each other from 0 on."""

    bucket: Bucket
    parts: tuple[tuple[int, int, str], ...]
    """Where each begins and ends, in bytes, and its key."""

    @classmethod
    def of(
        cls, bucket: Bucket, objects: Sequence[StoredObject], fence: int, name: str
    ) -> "BucketGrowingRow | None":
        """The row of this name, of the attempt that is furthest; None if it is none."""
        found = level_and_row(name)
        if found is None:
            return None
        attempts: dict[str, list[tuple[int, int, str]]] = {}
        for each in objects:
            part = _PART.fullmatch(each.key)
            if part is not None:
                attempt = each.key.rpartition("-")[2]
                attempts.setdefault(attempt, []).append((int(part[1]), int(part[2]), each.key))
        whole = [_without_gap(sorted(parts)) for parts in attempts.values()]
        best = max(whole, key=lambda parts: parts[-1][1] if parts else 0, default=())
        return cls(fence=fence, level=found[0], row=found[1], bucket=bucket, parts=best)

    @property
    def num_frames(self) -> int:
        """Samples that are there, as of the look at the bucket."""
        return self.parts[-1][1] // SAMPLE_BYTES if self.parts else 0

    def read(self, start: int, num_frames: int) -> NDArray[np.int16]:
        """Samples from `start` on, int16 [num_frames] or fewer; none when they are gone."""
        first, last = start * SAMPLE_BYTES, (start + num_frames) * SAMPLE_BYTES
        pieces = []
        try:
            for begin, end, key in self.parts:
                if begin < last and first < end:
                    content = _part(self.bucket, key)
                    pieces.append(content[max(first - begin, 0) : last - begin])
        except (FileNotFoundError, BucketError):
            return np.zeros(0, np.int16)
        return np.frombuffer(b"".join(pieces), dtype="<i2")


@lru_cache(maxsize=16)
def _part(bucket: Bucket, key: str) -> bytes:
    """A part never changes, and listeners ask for it half a second at a time."""
    return bucket.read(key)[0]


def _without_gap(parts: Sequence[tuple[int, int, str]]) -> tuple[tuple[int, int, str], ...]:
    kept: list[tuple[int, int, str]] = []
    for part in parts:
        if part[0] != (kept[-1][1] if kept else 0):
            break
        kept.append(part)
    return tuple(kept)
