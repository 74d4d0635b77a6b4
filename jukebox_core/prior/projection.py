"""The two layers that know about precision: projections may be half, norms always count in fp32."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INIT_STD = 0.02
MIN_CPU_ROWS = 4
"""From this many rows on, a row of a CPU matrix product is the same to the bit for every batch."""


class Projection(nn.Module):
    """`x @ weight + bias` with the weight stored [in, out], as the released checkpoints have it.

    Its dtype is the dtype of the computation: `JukeboxPrior.set_compute_dtype` moves exactly these
    modules to half precision. `int8_weights.py` has one with a smaller weight.
    """

    def __init__(self, num_in: int, num_out: int, *, init_scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_in, num_out))
        self.bias = nn.Parameter(torch.zeros(num_out))
        nn.init.normal_(self.weight, std=INIT_STD * init_scale)

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of what goes in and comes out."""
        return self.weight.dtype

    def computed_weight(self) -> Tensor:
        """The weight [in, out] in the compute dtype."""
        return self.weight

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Compute in `dtype`."""
        self.to(dtype)

    def set_weight_dtype(self, dtype: torch.dtype) -> None:
        """Keep the weight in `dtype` and the bias in float32: for files, not for computing."""
        self.weight.data = self.weight.data.to(dtype)

    def forward(self, x: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
        """`alpha * (x @ weight) + beta * bias` for x [..., in] in the compute dtype."""
        weight = self.computed_weight()
        if x.ndim == 2:
            return torch.addmm(self.bias, x, weight, alpha=alpha, beta=beta)
        flat = torch.addmm(self.bias, x.flatten(0, -2), weight, alpha=alpha, beta=beta)
        return flat.view(*x.shape[:-1], -1)


class LayerNorm(nn.LayerNorm):
    """Layer norm with fp32 weights and arithmetic whatever the dtype of its input, which it keeps.

    The original does so in fp16 (`transformer/ops.py`).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension of x [..., C]."""
        if x.dtype == self.weight.dtype:
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        wide = x.to(self.weight.dtype)
        normed = F.layer_norm(wide, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.to(x.dtype)
