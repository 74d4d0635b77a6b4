"""Files in and out of the page cache, and how fast they are read from it or from the disk."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

_BLOCK_BYTES = 2**24


def evict(files: Iterable[Path]) -> None:
    """Ask the kernel to forget these files; it keeps what a running process has mapped."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_bytes_per_sec(path: Path) -> float:
    """Read a file from its beginning to its end into one small buffer."""
    buffer, num_bytes = bytearray(_BLOCK_BYTES), 0
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            num_bytes += count
    return num_bytes / (time.perf_counter() - started)


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder, the targets of links included."""
    return [path for path in folder.rglob("*") if path.is_file()]
