"""Codes in safetensors files: written a row at a time, and checked by their hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from jobs.errors import ArtifactCorrupt
from jobs.files.stored_codes import CodesOnDisk


def check_codes(codes: NDArray[np.integer]) -> None:
    """Raises ValueError for what is not whole numbers [num_samples, n]."""
    if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(
            f"codes must be whole numbers [num_samples, n], not {codes.dtype} {list(codes.shape)}"
        )


def as_int32(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    """As they are stored, row after row."""
    return np.ascontiguousarray(codes, dtype=np.int32)


def load_codes(job_id: str, name: str, content: bytes) -> dict[str, NDArray[np.int32]]:
    """The tensors of a small file. Raises ArtifactCorrupt."""
    try:
        tensors: dict[str, NDArray[np.int32]] = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ArtifactCorrupt(f"{name} of {job_id} cannot be read: {error}") from error
    return tensors


def codes_checksum(tensors: Mapping[str, NDArray[np.integer] | CodesOnDisk]) -> str:
    """SHA-256 in hex of whole levels, however their rows are kept."""
    digest = hashlib.sha256()
    for level in sorted(tensors):
        digest.update(f"{level} int32 {tensors[level].shape};".encode())
        for row in tensors[level]:
            digest.update(as_int32(row).data)
    return digest.hexdigest()


def write_codes_file(
    path: Path,
    tensors: Mapping[str, NDArray[np.integer] | CodesOnDisk],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file of int32, a row at a time: the library would copy everything.

    The format: the header's length in 8 bytes, the header as JSON, and the tensors one by one.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for level in sorted(tensors):
        shape = list(tensors[level].shape)
        start, end = end, end + math.prod(shape) * np.dtype(np.int32).itemsize
        header[level] = {"dtype": "I32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for level in sorted(tensors):
            for row in tensors[level]:
                file.write(as_int32(row).data)
