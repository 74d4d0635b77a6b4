"""Weights files as tables of tensors that are read one at a time."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from jukebox_core.errors import CheckpointError

# Weights come in no other types; whatever else a file holds is refused as misshapen.
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file: what it looks like, and how to get it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


def open_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a `.safetensors` file, or of a `torch.save` file of any suffix.

    Safetensors and newer `torch.save` files are mapped: nothing is read before it is asked for.

    Raises:
        CheckpointError: the file is absent, damaged, or holds anything but weights.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    return _open_pickle(path)


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    try:
        file: Any = safe_open(path, framework="pt")
        return {name: _mapped_tensor(file, name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


def _mapped_tensor(file: Any, name: str) -> StoredTensor:  # noqa: ANN401 (safe_open is untyped)
    header = file.get_slice(name)
    dtype = _SAFETENSORS_DTYPES.get(header.get_dtype(), torch.uint8)
    return StoredTensor(tuple(header.get_shape()), dtype, lambda: file.get_tensor(name))


def _open_pickle(path: Path) -> dict[str, StoredTensor]:
    tensors = _state_dict(_unpickle(path), path)
    return {
        name: StoredTensor(tuple(tensor.shape), tensor.dtype, _handing_over(tensor))
        for name, tensor in tensors.items()
    }


def _handing_over(tensor: Tensor) -> Callable[[], Tensor]:
    return lambda: tensor


def _unpickle(path: Path) -> object:
    # Files written before torch 1.6, as OpenAI's are, are no zip archives and cannot be mapped.
    try:
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} holds more than weights, and nothing in it was run: {reason}"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged or no weights file: {error}") from error


def _state_dict(content: object, path: Path) -> Mapping[str, Tensor]:
    """The weights among what `torch.save` wrote: under "model" in the original's checkpoints."""
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__} and no table of tensors")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path} holds other things than tensors: {', '.join(others)}")
    return content
