"""Files in the page cache of the kernel, and out of it."""

import os
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


def read_through(path: Path) -> int:
    """Read a file from its beginning to its end into one small buffer; its bytes."""
    buffer, num_bytes = bytearray(_BLOCK_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            num_bytes += count
    return num_bytes
