"""When the device is full: telling this from other faults, and letting go of what it holds."""

import ctypes
import gc
import sys
import traceback

import torch

_FULL = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "(Cannot allocate memory)",
    "Cannot allocate memory (12)",  # a file that is mapped
)
"""What allocators say that raise no exception of their own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at a time might have gone well."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


def let_go(error: BaseException) -> None:
    """Free what the frames of a failed call still hold: an exception keeps all their tensors."""
    each: BaseException | None = error
    while each is not None:
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def return_free_memory(device: torch.device) -> None:
    """Give back what the allocators keep for later, so that it can be used in another way."""
    gc.collect()
    if sys.platform == "linux":
        _trim_heap()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _trim_heap() -> None:
    """Small blocks that were freed go back to the system; large ones did so by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
