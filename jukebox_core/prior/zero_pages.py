"""Zeros that take memory of the host only where something was written to them.

A cache is allocated for as many windows as may ever run at once. On a GPU all of it is taken at
once; here the kernel gives a page when it is first written, and takes it back when it is told to.
"""

import mmap
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

_FLAGS = (
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    if sys.platform == "linux"
    else 0
)
"""Not reserved: where the kernel counts what is promised, it would count windows that never come.
0x4000 is MAP_NORESERVE on Linux, which Python has no name for before 3.13."""


class ZeroPages:
    """A tensor of zeros whose rows can be emptied again.

    tensor  [rows, ...]; on a CPU under Linux, pages that nobody wrote take no memory
    """

    def __init__(self, shape: Sequence[int], *, device: torch.device, dtype: torch.dtype) -> None:
        """Raises MemoryError where the system does not even give the addresses."""
        self._pages: mmap.mmap | None = None
        size = torch.Size(shape)
        num_bytes = size.numel() * dtype.itemsize
        if device.type != "cpu" or sys.platform != "linux" or num_bytes == 0:
            self.tensor = torch.zeros(size, device=device, dtype=dtype)
            return
        try:
            self._pages = mmap.mmap(-1, num_bytes, flags=_FLAGS)
        except OSError as error:
            raise MemoryError(f"no room for {num_bytes} bytes: {error.strerror}") from error
        self.tensor = torch.frombuffer(self._pages, dtype=dtype).view(size)

    def clear(self, rows: Tensor) -> None:
        """Make `rows` (int64 [B], along the first dimension) zeros, and give their memory back."""
        if self._pages is None:
            self.tensor.index_fill_(0, rows, 0)
            return
        for row in rows.tolist():
            self._clear(row)

    def release(self, rows: Tensor) -> None:
        """As `clear` where that gives memory back; else leave them as they are."""
        if self._pages is not None:
            self.clear(rows)

    def _clear(self, row: int) -> None:
        if self._pages is None:
            return
        row_bytes = self.tensor.nbytes // self.tensor.shape[0]
        start, end = row * row_bytes, (row + 1) * row_bytes
        first_page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last_page = end // mmap.PAGESIZE * mmap.PAGESIZE
        if first_page >= last_page:
            self.tensor[row].zero_()
            return
        self._pages.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)
        # The pages at both ends also hold something of its neighbors.
        flat = self.tensor[row].view(-1)
        item_bytes = flat.element_size()
        flat[: (first_page - start) // item_bytes] = 0
        flat[len(flat) - (end - last_page) // item_bytes :] = 0
