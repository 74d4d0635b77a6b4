"""Sound of a level while it is made: raw samples that a worker adds to and others read meanwhile.

One file for each row of a level (`jukebox_core/channels.py`): int16 without a header. It counts as
unfinished and is gone once the level has sound files of its own. Claims do not share these files:
each begins anew, and makes the same samples.
"""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_BYTES = 2
_BLOCK_BYTES = 1 << 20
_NAME = re.compile(r"(top|middle|bottom)-row(\d{2})\.pcm", re.ASCII)


def growing_name(level: str, row: int) -> str:
    """The name of such a file, without what says that it is unfinished."""
    return f"{level}-row{row:02d}.pcm"


class GrowingSound:
    """The file of one row while its worker writes it; closing deletes it.

    What is appended can be read by others at once: nothing waits in a buffer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("x+b", buffering=0)

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add int16 [n]. Raises OSError when the disk refuses."""
        left = memoryview(samples.astype("<i2").tobytes())
        while left:
            left = left[self._file.write(left) or 0 :]

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """Everything that was added, int16 [n] at a time."""
        self._file.seek(0)
        while data := self._file.read(_BLOCK_BYTES):
            yield np.frombuffer(data, dtype="<i2")

    def close(self) -> None:
        """Delete the file; who reads it reads on."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowingRow(ABC):
    """A row of a level as one claim makes it."""

    fence: int
    level: str
    row: int

    @property
    @abstractmethod
    def num_frames(self) -> int:
        """Samples that are there; 0 when they are gone."""

    @abstractmethod
    def read(self, start: int, num_frames: int) -> NDArray[np.int16]:
        """Samples from `start` on, int16 [num_frames] or fewer; none when they are gone."""


def level_and_row(name: str) -> tuple[str, int] | None:
    """What such a file is the sound of; None for any other name."""
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGrowingRow(GrowingRow):
    """A row in a file of this machine."""

    path: Path

    @classmethod
    def of(cls, path: Path, fence: int, name: str) -> "LocalGrowingRow | None":
        """The file of this name, without what says that it is unfinished; None if it is none."""
        found = level_and_row(name)
        return found and cls(path=path, fence=fence, level=found[0], row=found[1])

    @property
    def num_frames(self) -> int:
        """Samples that are there; 0 when the file is gone."""
        try:
            return self.path.stat().st_size // SAMPLE_BYTES
        except OSError:
            return 0

    def read(self, start: int, num_frames: int) -> NDArray[np.int16]:
        """Samples from `start` on, int16 [num_frames] or fewer; none when the file is gone."""
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(start * SAMPLE_BYTES)
            data = file.read(num_frames * SAMPLE_BYTES)
            return np.frombuffer(data[: len(data) // SAMPLE_BYTES * SAMPLE_BYTES], dtype="<i2")
        return np.zeros(0, np.int16)


def longest_rows(
    found: Iterable[GrowingRow], rows_of: Mapping[str, Sequence[int]]
) -> dict[str, list[GrowingRow]]:
    """Level -> the files of the rows that are asked for, of the claim that is furthest."""
    claims: defaultdict[tuple[str, int], dict[int, GrowingRow]] = defaultdict(dict)
    for each in found:
        claims[each.level, each.fence][each.row] = each
    best: dict[str, tuple[int, list[GrowingRow]]] = {}
    for (level, _), rows in claims.items():
        wanted = [rows[row] for row in rows_of.get(level, ()) if row in rows]
        if not wanted or len(wanted) < len(rows_of[level]):
            continue
        num_frames = min(row.num_frames for row in wanted)
        if num_frames > best.get(level, (-1,))[0]:
            best[level] = (num_frames, wanted)
    return {level: rows for level, (_, rows) in best.items()}
