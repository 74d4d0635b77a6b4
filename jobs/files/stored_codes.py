"""Codes of one level that stay on disk: read a row at a time, however many rows there are."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jukebox_core.codes_file import named_codebooks

_ITEM_BYTES = 4
_MAX_HEADER_BYTES = 1 << 20


class OpenFile:
    """A descriptor that is closed when nobody refers to it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class StoredCodes:
    """int32 [rows, tokens] in a file. Slices are views; iteration reads one row after the other.

    `offset` is where row 0 begins in the file, `stride` how many codes lie from one row to the
    next; `rows` are those that belong to this view. `codebook` is the codebook that they were made
    with, where that is known.
    """

    file: OpenFile
    offset: int
    stride: int
    rows: Sequence[int]
    num_tokens: int
    codebook: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and tokens."""
        return len(self.rows), self.num_tokens

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self._row(row) for row in self.rows)

    def first_tokens(self, num_tokens: int) -> "StoredCodes":
        """The beginning of every row."""
        return replace(self, num_tokens=min(num_tokens, self.num_tokens))

    def tokens(self, part: slice) -> "StoredCodes":
        """A stretch of every row."""
        start, end, _ = part.indices(self.num_tokens)
        offset = self.offset + start * _ITEM_BYTES
        return replace(self, offset=offset, num_tokens=max(end - start, 0))

    def select(self, rows: slice) -> "StoredCodes":
        """Some of its rows."""
        return replace(self, rows=self.rows[rows])

    def for_channels(self, number: int) -> "StoredCodes":
        """Rows of one take for so many channels: one serves both, and mono is the left one."""
        rows = [self.rows[min(channel, len(self.rows) - 1)] for channel in range(number)]
        return replace(self, rows=rows)

    def largest(self) -> int:
        """The largest code; -1 where there is none."""
        return max((int(row.max(initial=-1)) for row in self), default=-1)

    def to_array(self) -> NDArray[np.int32]:
        """All of it in memory, int32 [rows, tokens]."""
        rows = list(self)
        return np.stack(rows) if rows else np.zeros((0, self.num_tokens), np.int32)

    def _row(self, row: int) -> NDArray[np.int32]:
        place = self.offset + row * self.stride * _ITEM_BYTES
        content = os.pread(self.file.fd, self.num_tokens * _ITEM_BYTES, place)
        if len(content) != self.num_tokens * _ITEM_BYTES:
            raise ValueError("the file of codes ends too early")
        return np.frombuffer(content, dtype="<i4")


@dataclass(frozen=True, slots=True)
class JoinedCodes:
    """Codes of several files one after the other, int32 [rows, tokens]; each has as many rows."""

    parts: tuple[StoredCodes, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and tokens."""
        return len(self.parts[0]), sum(part.num_tokens for part in self.parts)

    @property
    def codebook(self) -> str | None:
        """That of all parts of which it is known: parts of several are not joined."""
        return next((part.codebook for part in self.parts if part.codebook is not None), None)

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (np.concatenate(rows) for rows in zip(*self.parts, strict=True))


CodesOnDisk = StoredCodes | JoinedCodes


def codebooks_of(codes: Mapping[str, NDArray[np.integer] | CodesOnDisk]) -> dict[str, str]:
    """The codebooks of the levels on disk that name theirs; codes in memory name none."""
    on_disk = {name: each for name, each in codes.items() if isinstance(each, CodesOnDisk)}
    return {name: each.codebook for name, each in on_disk.items() if each.codebook is not None}


def open_codes_file(path: Path) -> tuple[dict[str, StoredCodes], dict[str, str]]:
    """The int32 matrices of a safetensors file, and its metadata, by its header alone.

    The format: the header's length in 8 bytes, the header as JSON, and the tensors one by one.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no such file.
    """
    file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    num_bytes = os.fstat(file.fd).st_size
    length = int.from_bytes(os.pread(file.fd, 8, 0), "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, num_bytes - 8):
        raise ValueError("the header of the file of codes has an impossible length")
    header = json.loads(os.pread(file.fd, length, 8))
    if not isinstance(header, dict):
        raise ValueError("the header of the file of codes is no object")
    metadata = header.pop("__metadata__", {})
    codebooks = named_codebooks(metadata)
    tensors = {
        name: replace(_tensor(file, entry, 8 + length, num_bytes), codebook=codebooks.get(name))
        for name, entry in header.items()
    }
    return tensors, metadata


def _tensor(file: OpenFile, entry: Any, start: int, num_bytes: int) -> StoredCodes:  # noqa: ANN401
    try:
        dtype, (num_rows, num_tokens), (first, last) = (
            entry["dtype"],
            entry["shape"],
            entry["data_offsets"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError("the header of the file of codes names no matrices") from error
    size = num_rows * num_tokens * _ITEM_BYTES
    if dtype != "I32" or last - first != size or first < 0 or start + last > num_bytes:
        raise ValueError(f"the file of codes holds {dtype} {[num_rows, num_tokens]}, or ends early")
    return StoredCodes(file, start + first, num_tokens, range(num_rows), num_tokens)


class CodesSpool:
    """Puts the pieces of a level together on disk: int32 [rows, n] each, one after the other."""

    def __init__(self, file: OpenFile, num_rows: int, max_tokens: int) -> None:
        self._file, self._num_rows, self._stride = file, num_rows, max_tokens
        self.num_tokens = 0

    def append(self, codes: NDArray[np.integer]) -> None:
        """Another piece. Raises ValueError for one of other rows, or beyond the end."""
        num_rows, num_tokens = codes.shape
        if num_rows != self._num_rows or self.num_tokens + num_tokens > self._stride:
            raise ValueError(f"a piece {list(codes.shape)} does not fit the level")
        for row, piece in enumerate(np.ascontiguousarray(codes, dtype="<i4")):
            place = (row * self._stride + self.num_tokens) * _ITEM_BYTES
            os.pwrite(self._file.fd, piece.tobytes(), place)
        self.num_tokens += num_tokens

    def codes(self) -> StoredCodes:
        """What was put together."""
        return StoredCodes(self._file, 0, self._stride, range(self._num_rows), self.num_tokens)
