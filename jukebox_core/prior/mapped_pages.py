"""Weights that are pages of a file, and go back to it while nobody computes with them.

Pages of a mapped file that were read count as memory of a process, although the system could take
them at any time. What is given back here is still in the system's cache, if that has room.
"""

import bisect
import ctypes
import mmap
import sys
from pathlib import Path

from torch import nn

_MAPS = Path("/proc/self/maps")


def give_back(module: nn.Module) -> int:
    """Give back the pages of weights that lie in mapped files; they are read again when needed.

    Nobody may have written to these weights since: what was would be lost. Returns the bytes; 0
    where nothing is mapped, or the system is no Linux.
    """
    if sys.platform != "linux":
        return 0
    mapped, num_bytes = _MappedFiles(), 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # Some are tied: two names of one tensor.
    for weight in {each.data_ptr(): each for each in module.state_dict().values()}.values():
        if weight.device.type != "cpu":
            continue
        start, end = weight.data_ptr(), weight.data_ptr() + weight.nbytes
        first_page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last_page = end // mmap.PAGESIZE * mmap.PAGESIZE
        is_whole = first_page < last_page and mapped.hold(first_page, last_page)
        if is_whole and advise(first_page, last_page - first_page, mmap.MADV_DONTNEED) == 0:
            num_bytes += last_page - first_page
    return num_bytes


class _MappedFiles:
    """Where files are mapped into this process, and not for others to see what it writes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            addresses, permissions, _, _, inode, *_ = line.split(maxsplit=5)
            if inode != "0" and permissions[3] == "p":
                start, _, end = addresses.partition("-")
                self._starts.append(int(start, 16))
                self._ends.append(int(end, 16))

    def hold(self, start: int, end: int) -> bool:
        """Whether [start, end) lies in one of them."""
        number = bisect.bisect_right(self._starts, start) - 1
        return number >= 0 and end <= self._ends[number]
