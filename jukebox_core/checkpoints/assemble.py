"""Building a module from stored tensors, without ever holding it twice."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from jukebox_core.checkpoints.tensor_files import StoredTensor
from jukebox_core.errors import CheckpointError

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


class _WithoutInit(TorchFunctionMode):
    """Leave tensors as they are where `torch.nn.init` would fill them.

    There is nothing to fill on the meta device, and the first try imports torch's compiler (0.8 s).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's own protocol
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def assemble(
    build: Callable[[], Module],
    stored: dict[str, StoredTensor],
    *,
    where: str,
    unknown: list[str] | None = None,
    device: torch.device | str = "cpu",
) -> Module:
    """Build a module without weights and give it `stored`, tensor by tensor.

    Args:
        build: makes the module; called with the meta device as default. Each tensor is brought to
            the dtype that it has there.
        stored: the tensors under the names of the module's state dict. It is emptied on the way,
            so that a tensor whose type or device changes is not held twice.
        where: what the tensors came from, for messages.
        unknown: names that could not be translated, to be told with the other faults.
        device: where the tensors go.

    Returns:
        The module in evaluation mode.

    Raises:
        CheckpointError: names every tensor that is unknown, missing or misshapen.
    """
    with _WithoutInit(), torch.device("meta"):
        module = build()
    wanted = module.state_dict()
    _check_fit(wanted, stored, unknown or [], where)
    placed = {name: stored.pop(name).to(device, tensor.dtype) for name, tensor in wanted.items()}
    module.load_state_dict(placed, assign=True)
    _check_complete(module, where)
    return module.eval()


def _check_fit(
    wanted: Mapping[str, Tensor],
    stored: Mapping[str, StoredTensor],
    unknown: list[str],
    where: str,
) -> None:
    unknown = [*unknown, *(name for name in stored if name not in wanted)]
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
    return stored.shape == tuple(wanted.shape) and stored.dtype.is_floating_point


def _describe(stored: StoredTensor) -> str:
    suffix = "" if stored.dtype.is_floating_point else " of no floating-point type"
    return f"{stored.shape}{suffix}"


def _check_complete(module: nn.Module, where: str) -> None:
    # A buffer that is not saved keeps the meta device, and would fail far from here.
    tensors = (*module.named_parameters(), *module.named_buffers())
    empty = [name for name, tensor in tensors if tensor.is_meta]
    if empty:
        raise CheckpointError(f"{where} leaves tensors without values: {', '.join(empty)}")
