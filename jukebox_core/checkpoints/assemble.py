"""Building a module from stored tensors, without ever holding it twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from jukebox_core.checkpoints.tensor_files import StoredTensor, quantized
from jukebox_core.errors import CheckpointError
from jukebox_core.meta_modules import without_weights
from jukebox_core.prior.int8_weights import Int8Convolution, Int8Projection

Module = TypeVar("Module", bound=nn.Module)
Rename = Callable[[str], str | None]


def rename_tensors(
    stored: Mapping[str, StoredTensor], rename: Rename
) -> tuple[dict[str, StoredTensor], list[str]]:
    """The same tensors under our names, and the names that have none (or share one)."""
    renamed: dict[str, StoredTensor] = {}
    unknown: list[str] = []
    for name, tensor in stored.items():
        our_name = rename(name)
        if our_name is None or our_name in renamed:
            unknown.append(name)
        else:
            renamed[our_name] = tensor
    return renamed, unknown


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """The tensors of one part of a model, under the names of its module's state dict.

    tensors  used up by whoever builds the module, so that a tensor whose type or device changes is
             not held twice
    where    what they came from, for messages
    unknown  names that could not be translated, to be told with the other faults
    """

    tensors: dict[str, StoredTensor]
    where: str
    unknown: Sequence[str] = ()


def lay_out(build: Callable[[], Module], part: OpenedPart) -> Module:
    """A module on the meta device, whose tensors have the names and types that `part` is to get.

    Where it has int8 weights and `part` has not, those of `part` are quantized when they are read.

    Args:
        build: makes the module; called with the meta device as default.
        part: what is to fit.

    Raises:
        CheckpointError: names every tensor that is unknown, missing or misshapen.
    """
    with without_weights():
        module = build()
    wanted = module.state_dict()
    _quantize_on_reading(part.tensors, module)
    _check_fit(wanted, part)
    return module


def assemble(
    build: Callable[[], Module], part: OpenedPart, *, device: torch.device | str = "cpu"
) -> Module:
    """Build a module without weights and give it those of `part`, tensor by tensor.

    Args:
        build: as for `lay_out`. Each tensor is brought to the dtype that it has there.
        part: used up.
        device: where the tensors go.

    Returns:
        The module in evaluation mode.

    Raises:
        CheckpointError: names every tensor that is unknown, missing or misshapen.
    """
    module, stored = lay_out(build, part), part.tensors
    wanted = module.state_dict()
    placed = {name: stored.pop(name).to(device, tensor.dtype) for name, tensor in wanted.items()}
    module.load_state_dict(placed, assign=True)
    _check_complete(module, part.where)
    return module.eval()


def _quantize_on_reading(stored: dict[str, StoredTensor], module: nn.Module) -> None:
    """Put int8 weights and their scales in the place of weights that are wanted as int8."""
    for name, layer in module.named_modules():
        weight, scale = f"{name}.weight", f"{name}.scale"
        if not isinstance(layer, Int8Projection | Int8Convolution) or weight not in stored:
            continue
        source = stored[weight]
        if source.is_float and source.shape == tuple(layer.weight.shape):
            made = quantized(source, layer.bias.dtype, layer.channel_axis)
            stored[weight], stored[scale] = made


def _check_fit(wanted: Mapping[str, Tensor], part: OpenedPart) -> None:
    stored, where = part.tensors, part.where
    unknown = [*part.unknown, *(name for name in stored if name not in wanted)]
    missing = [name for name in wanted if name not in stored]
    misshapen = [
        f"{name} is {_describe(stored[name])}, wanted {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in stored and not _fits(stored[name], tensor)
    ]
    faults = {"unknown": unknown, "missing": missing, "misshapen": misshapen}
    if any(faults.values()):
        told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
        raise CheckpointError(f"{where} does not fit the model: {told}")


def _fits(stored: StoredTensor, wanted: Tensor) -> bool:
    same_kind = stored.is_float if wanted.is_floating_point() else stored.dtype == wanted.dtype
    return stored.shape == tuple(wanted.shape) and same_kind


def _describe(stored: StoredTensor) -> str:
    suffix = "" if stored.is_float else " of no floating-point type"
    return f"{stored.shape}{suffix}"


def _check_complete(module: nn.Module, where: str) -> None:
    # A buffer that is not saved keeps the meta device, and would fail far from here.
    tensors = (*module.named_parameters(), *module.named_buffers())
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty:
        raise CheckpointError(f"{where} leaves tensors without values: {', '.join(empty)}")
