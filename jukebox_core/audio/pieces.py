"""Parts of a sound file that a decoder reads as if each were a file of its own."""

import io
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes from `start` to `end` of a file, behind a `head` that the file lacks."""

    start: int
    end: int
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class SoundLayout:
    """The pieces that make up the sound of a file, in their order.

    `num_frames` is how many sample frames they hold, where counting them needs no decoder.
    """

    pieces: tuple[Piece, ...]
    num_frames: int | None = None


class PieceFile:
    """A piece, opened for reading. Close it after use."""

    def __init__(self, path: Path, piece: Piece) -> None:
        self._file = path.open("rb")
        self._piece = piece
        self._size = len(piece.head) + piece.end - piece.start
        self._place = 0

    def close(self) -> None:
        """Close the file below."""
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        size = self._size - self._place if size < 0 else min(size, self._size - self._place)
        if size <= 0:
            return b""
        head = self._piece.head[self._place : self._place + size]
        data = head
        if len(head) < size:
            offset = self._place + len(head) - len(self._piece.head)
            self._file.seek(self._piece.start + offset)
            data = head + self._file.read(size - len(head))
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def tell(self) -> int:
        """As of any file."""
        return self._place
