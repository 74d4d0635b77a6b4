"""What a CUDA graph does, on a CPU: operations recorded with their memory, and done again on it.

A tape is stricter than it need be where a GPU would be silently wrong:

* It refuses what a capture refuses: asking for a value, results whose shape depends on data, copies
  to the host and from it.
* What a step makes for itself is filled with nonsense after the capture and each replay, so that
  nothing can live on from one to the next but in memory from outside. What the captured function
  returns is spared until the next replay.
* Memory from outside is known by its address; if a tensor moves, the next replay raises.

Unlike a capture, recording works on the memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_TO_HOST = {"tolist", "numpy", "cpu", "item", "__array__", "__bool__", "__int__", "__float__"}
_FROM_HOST = {"tensor", "as_tensor", "from_numpy", "asarray"}
_NONSENSE_ID = 2**50


class NotCapturable(RuntimeError):
    """The function does what a CUDA graph cannot hold."""


class _Operation:
    """One call, the tensors that it made, and how the tensors that it was given looked."""

    def __init__(self, function: Any, args: Any, kwargs: Any, made: list[Tensor | None]) -> None:
        self._function, self._args, self._kwargs = function, args, kwargs
        # None for what is a view of an argument, or the argument itself.
        self.made = made

    def run(self) -> None:
        results = tree_iter(self._function(*self._args, **self._kwargs))
        for recorded, result in zip(self.made, results, strict=True):
            if recorded is not None:
                recorded.copy_(result)


class Tape(TorchDispatchMode):
    """Records what runs inside of it, and does it again."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[_Operation] = []
        self._made: dict[int, Tensor] = {}
        self._spared: list[Tensor] = []
        self._outside: dict[int, tuple[Tensor, int]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        _check(function, args, kwargs)
        given = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        storages = {_address(x) for x in given}
        for tensor in given:
            if _address(tensor) not in self._made:
                self._outside.setdefault(id(tensor), (tensor, tensor.data_ptr()))
        results = function(*args, **kwargs)
        made = [None if _address(x) in storages else x for x in tree_iter(results)]
        for tensor in made:
            if tensor is not None:
                self._made[_address(tensor)] = tensor
        self._operations.append(_Operation(function, args, kwargs, made))
        return results

    @property
    def num_operations(self) -> int:
        return len(self._operations)

    def replay(self) -> None:
        for tensor in self._spared:
            tensor.fill_(_nonsense(tensor.dtype))
        for tensor, address in self._outside.values():
            if tensor.data_ptr() != address:
                raise RuntimeError(f"a tensor {tuple(tensor.shape)} has moved since the capture")
        for operation in self._operations:
            operation.run()

    def spoil(self, keep: Tensor | None = None) -> None:
        """Nonsense into everything that was made inside, into what `keep` shares only later."""
        self._spared.clear()
        for tensor in self._made.values():
            if keep is not None and _address(tensor) == _address(keep):
                self._spared.append(tensor)
            else:
                tensor.fill_(_nonsense(tensor.dtype))


class TapeCapturer:
    """Stands in for `CudaCapturer`; counts what it is asked for."""

    def __init__(self) -> None:
        self.num_captures = 0
        self.num_replays = 0
        self.num_operations = 0

    def warm_up(self, run: Callable[[], Tensor]) -> Tensor:
        return run()

    def capture(self, run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.num_captures += 1
        tape = Tape()
        with tape, _HostCopies():
            output = run()
        self.num_operations = tape.num_operations
        tape.spoil()

        def replay() -> None:
            self.num_replays += 1
            tape.replay()
            tape.spoil(keep=output)

        return replay, output

    def settle(self) -> None:
        pass


class _HostCopies(TorchFunctionMode):
    """Refuses copies between a device and the host, which on a CPU are no operations."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in _TO_HOST:
            raise NotCapturable(f"{name} waits for the device, and a graph cannot")
        if name in _FROM_HOST:
            raise NotCapturable(f"{name} copies from the host what a graph would never see change")
        if name == "where" and any(not isinstance(x, Tensor) for x in args[1:]):
            raise NotCapturable("where copies a number from the host, on some devices")
        if name == "to" and any(isinstance(x, str | torch.device) for x in (*args, kwargs or {})):
            raise NotCapturable("to(device) in a graph")
        return function(*args, **(kwargs or {}))


def _check(function: Any, args: Any, kwargs: Any) -> None:
    if torch.Tag.data_dependent_output in function.tags:
        raise NotCapturable(f"{function} asks the device for a value")
    if torch.Tag.dynamic_output_shape in function.tags and _depends_on_data(function, args):
        raise NotCapturable(f"the shape of what {function} makes depends on data")


def _depends_on_data(function: Any, args: Any) -> bool:
    if function is not torch.ops.aten.index.Tensor:
        return True
    return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1])


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _nonsense(dtype: torch.dtype) -> Any:
    if dtype.is_floating_point:
        return float("nan")
    return True if dtype == torch.bool else min(_NONSENSE_ID, torch.iinfo(dtype).max)
