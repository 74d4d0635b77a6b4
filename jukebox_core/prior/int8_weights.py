"""Int8 weight-only quantization: the projections of a stack in a quarter of the bytes of fp32.

One scale per output channel, symmetric, rounded to nearest. Activations, cache and sums stay in the
compute dtype. No calibration data is needed.
"""

import torch
from torch import Tensor, nn

from jukebox_core.prior.projection import Projection

LARGEST = 127
"""-128 stays unused, so that a weight and its negative have the same magnitude."""

_ROWS_AT_ONCE = 256
"""Of a weight that is quantized: little of it is held in float32 at a time."""


class Int8Projection(Projection):
    """A `Projection` whose weight is int8 [in, out] times a scale float32 [out].

    This forward pass multiplies the weight out for every call, on any device: it saves memory and
    costs time. What computes in another way may read the int8 weight as it is.
    """

    def __init__(self, source: Projection) -> None:
        nn.Module.__init__(self)
        levels, scale = quantize(source.weight.detach())
        # Parameters and no buffers: they are placed, offloaded and counted as other weights are.
        self.weight = nn.Parameter(levels, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = nn.Parameter(source.bias.detach(), requires_grad=False)

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of what goes in and comes out."""
        return self.bias.dtype

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Compute in `dtype`; the weight stays int8 and its scale float32."""
        self.bias.data = self.bias.data.to(dtype)

    def computed_weight(self) -> Tensor:
        """The weight [in, out] in the compute dtype, multiplied out anew for every call."""
        return (self.weight * self.scale).to(self.compute_dtype)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 [in, out] and scale float32 [out] whose product is nearest to weight [in, out].

    A channel of zeros has the scale 0. On the meta device there is nothing to compute.
    """
    levels = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    if weight.is_meta:
        return levels, torch.empty(weight.shape[1:], device=weight.device)
    lowest, highest = weight.aminmax(dim=0)
    scale = torch.maximum(lowest.abs(), highest.abs()).float() / LARGEST
    divisor = scale.masked_fill(scale == 0, 1.0)
    for start in range(0, len(weight), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        levels[rows] = (weight[rows].float() / divisor).round()
    return levels, scale


def use_int8_weights(stack: nn.Module) -> None:
    """Replace every `Projection` in `stack`, one after another; those in int8 stay as they are.

    The fp32 or half weights are gone then, unless somebody else holds them.
    """
    for parent in list(stack.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Projection) and not isinstance(child, Int8Projection):
                setattr(parent, name, Int8Projection(child))
