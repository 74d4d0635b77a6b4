"""Modules on the meta device: their names, shapes and types, without a number in them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def without_weights() -> Iterator[None]:
    """Modules that are built meanwhile are on the meta device and are not initialized."""
    with _WithoutInit(), torch.device("meta"):
        yield


class _WithoutInit(TorchFunctionMode):
    """Leave tensors as they are where `torch.nn.init` or `torch.randn` would fill them.

    There is nothing to fill on the meta device, and the first try imports torch's compiler and
    sympy (1.5 s).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's own protocol
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func is torch.randn:
            func = torch.empty
        return func(*args, **kwargs)
