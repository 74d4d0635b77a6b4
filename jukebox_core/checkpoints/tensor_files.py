"""Weights files as tables of tensors that are read one at a time."""

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from jukebox_core.errors import CheckpointError
from jukebox_core.prior.int8_weights import quantize
from jukebox_core.small_files import require_regular

# Weights come in no other types; whatever else a file holds is refused as misshapen. Int8 ones
# are those of `prior/int8_weights.py`.
_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I8": torch.int8,
}

_PASSING_BYTES = 2**25


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file: what it looks like, and how to get it.

    `read` gives it to be kept. `read_in_passing` is for a tensor that is copied at once, to another
    type or device, and dropped: then the process does not keep what it has read of the file.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    read_in_passing: Callable[[], Tensor]

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """The tensor in `dtype` on `device`."""
        stays = torch.device(device).type == "cpu" and dtype == self.dtype
        tensor = self.read() if stays else self.read_in_passing()
        return tensor.to(device=device, dtype=dtype)

    def copy(self, dtype: torch.dtype) -> Tensor:
        """The tensor in `dtype`, to be written elsewhere and dropped."""
        return self.read_in_passing().to(dtype)

    @property
    def is_float(self) -> bool:
        """Whether it is of a floating-point type."""
        return self.dtype.is_floating_point

    def rounded(self, dtype: torch.dtype) -> "StoredTensor":
        """The same, as if it were stored in `dtype`."""
        if not self.is_float or dtype == self.dtype:
            return self
        return StoredTensor(
            self.shape,
            dtype,
            lambda: self.read_in_passing().to(dtype),
            lambda: self.read_in_passing().to(dtype),
        )


def quantized(
    weight: StoredTensor, computed_in: torch.dtype, channel_axis: int
) -> tuple[StoredTensor, StoredTensor]:
    """The int8 weight and the scale of a layer's weight, computed when one of them is read.

    They are those of the weight as it would be in the type that is `computed_in`. `channel_axis`
    is that of its output channels, see `quantize`.
    """
    is_exact = computed_in == torch.float32 and weight.dtype.itemsize < torch.float32.itemsize
    source = weight if is_exact else weight.rounded(computed_in)
    made: list[Tensor] = []

    def levels() -> Tensor:
        whole, scale = quantize(source.read_in_passing(), channel_axis)
        made[:] = [scale]
        return whole

    def scale() -> Tensor:
        if not made:
            levels()
        return made.pop()

    channels = (weight.shape[channel_axis],)
    return (
        StoredTensor(weight.shape, torch.int8, levels, levels),
        StoredTensor(channels, torch.float32, scale, scale),
    )


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


class _MappedFile:
    """One file, mapped twice: for good, and for a while.

    What is read through a mapping counts as memory of this process until the mapping ends, and it
    lasts as long as any tensor of it. The second is therefore made anew after every
    `_PASSING_BYTES`.
    """

    def __init__(self, tensor_reader: Callable[[], Callable[[str], Tensor]]) -> None:
        self._tensor_reader = tensor_reader
        self.read = self._read_in_passing = tensor_reader()
        self._num_bytes = _PASSING_BYTES

    def read_in_passing(self, name: str) -> Tensor:
        """The tensor called `name`, which nobody will keep."""
        if self._num_bytes >= _PASSING_BYTES:
            self._read_in_passing, self._num_bytes = self._tensor_reader(), 0
        tensor = self._read_in_passing(name)
        self._num_bytes += tensor.nbytes
        return tensor

    def stored(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> StoredTensor:
        """The entry of one tensor."""
        return StoredTensor(
            tuple(shape), dtype, partial(self.read, name), partial(self.read_in_passing, name)
        )


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    def tensor_reader() -> Callable[[str], Tensor]:
        opened: Any = safe_open(path, framework="pt")
        return lambda name: opened.get_tensor(name)

    try:
        require_regular(path)
        mapped = _MappedFile(tensor_reader)
        header: Any = safe_open(path, framework="pt")
        slices = {name: header.get_slice(name) for name in header.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    return {
        name: mapped.stored(
            name, part.get_shape(), _SAFETENSORS_DTYPES.get(part.get_dtype(), torch.uint8)
        )
        for name, part in slices.items()
    }


def _open_pickle(path: Path) -> dict[str, StoredTensor]:
    tensors = _state_dict(_unpickle(path), path)
    if zipfile.is_zipfile(path):
        mapped = _MappedFile(lambda: _state_dict(_unpickle(path), path).__getitem__)
        return {
            name: mapped.stored(name, tensor.shape, tensor.dtype)
            for name, tensor in tensors.items()
        }
    return {name: _in_memory(tensor) for name, tensor in tensors.items()}


def _in_memory(tensor: Tensor) -> StoredTensor:
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor, lambda: tensor)


def _unpickle(path: Path) -> object:
    # Files written before torch 1.6, as OpenAI's are, are no zip archives and cannot be mapped.
    try:
        require_regular(path)
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
