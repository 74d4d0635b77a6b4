"""Writing tensors, with the errors of the system instead of those of the library."""

import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

ALIGNMENT = 64
"""Bytes of a line of the processor's cache, and of its widest vector."""
_LENGTH = struct.Struct("<Q")
_SAFETENSORS_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int8: "I8",
}
_ERRNO = re.compile(r"\(os error (\d+)\)")


def save_file(
    tensors: Mapping[str, Tensor], file: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file of contiguous tensors, for its owner only.

    Raises:
        OSError: the system refuses, for example because the disk is full.
    """
    try:
        safetensors.torch.save_file(
            dict(tensors), file, metadata=None if metadata is None else dict(metadata)
        )
    except SafetensorError as error:
        found = _ERRNO.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(file)) from error


def write_safetensors(
    file: Path, layout: Mapping[str, Tensor], read: Callable[[str], Tensor]
) -> None:
    """Write a safetensors file of any size, holding one tensor at a time.

    Every tensor whose size allows it begins at a multiple of `ALIGNMENT`, so that the file can be
    mapped and computed with as it lies.

    Args:
        file: written from its beginning.
        layout: shape and dtype of each tensor; may be on the meta device.
        read: gives the tensor of a name, once, in that shape and dtype.

    Raises:
        OSError: the system refuses, for example because the disk is full.
    """
    # What would put others out of step comes last; else they stay in their order.
    names = sorted(layout, key=lambda name: layout[name].nbytes % ALIGNMENT != 0)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        tensor = layout[name]
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _SAFETENSORS_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + _LENGTH.size) % ALIGNMENT)
    with file.open("wb") as stream:
        stream.write(_LENGTH.pack(len(text)) + text)
        for name in names:
            stream.write(_bytes_of(read(name), layout[name]).data)


def _bytes_of(tensor: Tensor, wanted: Tensor) -> NDArray[np.uint8]:
    if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"{tensor.dtype} {tuple(tensor.shape)} is not what was announced")
    numbers: NDArray[np.uint8] = (
        tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    )
    return numbers


def save_pickle(values: Mapping[str, Any], file: BinaryIO) -> None:
    """Write `values` with `torch.save`.

    Raises:
        OSError: the system refuses, for example because the disk is full.
    """
    try:
        torch.save(dict(values), file)
    except RuntimeError as error:  # what torch makes of it when it closes its archive
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise
