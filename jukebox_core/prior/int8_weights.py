"""Int8 weight-only quantization: projections and convolutions in a quarter of the bytes of fp32.

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

    channel_axis = 1

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


class Int8Convolution(nn.Module):
    """A convolution over time whose weight is int8, as torch lays it out, times a scale float32
    [out]. Inputs, bias and sums are float32.

    The weight is multiplied out for every call, which is little beside the convolution itself.
    """

    def __init__(self, source: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        if isinstance(source.padding, str) or source.bias is None or source.groups != 1:
            raise ValueError(f"{source} is no convolution of a conditioner")
        self._is_transposed = isinstance(source, nn.ConvTranspose1d)
        self._stride, self._padding = source.stride, source.padding
        self._dilation = source.dilation
        self.channel_axis = 1 if self._is_transposed else 0
        levels, scale = quantize(source.weight.detach(), self.channel_axis)
        self.weight = nn.Parameter(levels, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)
        self.bias = nn.Parameter(source.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """What the convolution makes of x float32 [B, in, T]."""
        scale = self.scale[:, None] if self._is_transposed else self.scale[:, None, None]
        return torch.convolution(
            x,
            self.weight * scale,
            self.bias,
            stride=self._stride,
            padding=self._padding,
            dilation=self._dilation,
            transposed=self._is_transposed,
            output_padding=(0,),
            groups=1,
        )


def quantize(weight: Tensor, channel_axis: int = 1) -> tuple[Tensor, Tensor]:
    """int8 levels, shaped as weight, and scale float32 [out] whose product is nearest to weight.

    `channel_axis` is the axis of the output channels: 1 for a projection [in, out] and for a
    transposed convolution [in, out, k], 0 for a convolution [out, in, k]. A channel of zeros has
    the scale 0. On the meta device there is nothing to compute.
    """
    levels = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    if weight.is_meta:
        return levels, torch.empty(weight.shape[channel_axis], device=weight.device)
    rows, rounded = (each.movedim(channel_axis, -1) for each in (weight, levels))
    others = tuple(range(weight.ndim - 1))
    scale = torch.maximum(rows.amin(others).abs(), rows.amax(others).abs()).float() / LARGEST
    divisor = scale.masked_fill(scale == 0, 1.0)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rounded[part] = (rows[part].float() / divisor).round()
    return levels, scale


def use_int8_weights(stack: nn.Module) -> None:
    """Replace every `Projection` and convolution in `stack`, one after another; those in int8 stay.

    The fp32 or half weights are gone then, unless somebody else holds them.
    """
    for parent in list(stack.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Projection) and not isinstance(child, Int8Projection):
                setattr(parent, name, Int8Projection(child))
            elif isinstance(child, nn.Conv1d | nn.ConvTranspose1d):
                setattr(parent, name, Int8Convolution(child))
