"""A ZIP archive that is sent while it is made: no file on disk, a chunk in memory.

Entries are stored, not compressed, since sound does not get smaller; so the length of the archive
is known before its first byte. ZIP64 where an entry or the archive needs it (APPNOTE.TXT 6.3.10).
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

_CHUNK_BYTES = 256 * 1024
_FILE_MODE = 0o644
_UNIX = 3

# What `zipfile` writes around the content of an entry and at the end, in bytes.
_LOCAL_HEADER, _LOCAL_ZIP64, _DESCRIPTOR, _DESCRIPTOR_ZIP64 = 30, 20, 16, 24
_CENTRAL_HEADER, _END, _END_ZIP64 = 46, 22, 56 + 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipEntry:
    """A file in an archive: `open` is called when its turn comes, and gives `num_bytes` bytes."""

    name: str
    num_bytes: int
    open: Callable[[], IO[bytes]]

    @classmethod
    def of_bytes(cls, name: str, content: bytes) -> "ZipEntry":
        """An entry that is in memory."""
        return cls(name=name, num_bytes=len(content), open=lambda: io.BytesIO(content))


def zip_chunks(entries: Sequence[ZipEntry], moment: datetime) -> Iterator[bytes]:
    """The archive, piece by piece; `moment` dates all entries, so that it is the same each time.

    Raises OSError when a file is gone or has become shorter: the archive then ends there.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            with entry.open() as source, archive.open(_info(entry, moment), "w") as target:
                left = entry.num_bytes
                while left:
                    chunk = source.read(min(_CHUNK_BYTES, left))
                    if not chunk:
                        raise OSError(f"{entry.name} ends {left} bytes before its end")
                    left -= len(chunk)
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()


def zip_num_bytes(entries: Sequence[ZipEntry]) -> int:
    """The length of the archive."""
    end, central = 0, 0
    for entry in entries:
        name_bytes = len(entry.name.encode())
        is_long = entry.num_bytes * 1.05 > zipfile.ZIP64_LIMIT
        # Sizes and the place of an entry, where 32 bits are not enough for them.
        wide = 2 * (entry.num_bytes > zipfile.ZIP64_LIMIT) + (end > zipfile.ZIP64_LIMIT)
        central += _CENTRAL_HEADER + name_bytes + (4 + 8 * wide if wide else 0)
        end += _LOCAL_HEADER + name_bytes + (_LOCAL_ZIP64 if is_long else 0)
        end += entry.num_bytes + (_DESCRIPTOR_ZIP64 if is_long else _DESCRIPTOR)
    needs_zip64 = max(end, central) > zipfile.ZIP64_LIMIT
    return end + central + (_END_ZIP64 if needs_zip64 else 0) + _END


def _info(entry: ZipEntry, moment: datetime) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(entry.name, moment.timetuple()[:6])
    info.create_system, info.external_attr = _UNIX, _FILE_MODE << 16
    info.file_size = entry.num_bytes
    return info


class _Sink(io.RawIOBase):
    """Where `zipfile` writes to; not seekable, so it never goes back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """What has been written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
