"""Writing tensors, with the errors of the system instead of those of the library."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

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
