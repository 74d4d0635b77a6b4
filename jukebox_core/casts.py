"""What `.half()` and `.to(...)` ask of a module whose parts keep their own precision.

All of them reach a module as one function of a tensor (`nn.Module._apply`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Conversion = Callable[[Tensor], Tensor]


def requested_dtype(convert: Conversion) -> torch.dtype | None:
    """The dtype that `convert` gives to floating point tensors; None when they keep theirs."""
    dtypes = {convert(torch.zeros(1, dtype=each)).dtype for each in (torch.float32, torch.float16)}
    return dtypes.pop() if len(dtypes) == 1 else None


def device_only(convert: Conversion) -> Conversion:
    """`convert` without its change of dtype, so that nothing is rounded."""
    return lambda tensor: tensor.to(convert(tensor.new_zeros(1)).device)
