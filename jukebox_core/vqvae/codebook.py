"""Nearest neighbours in a table of vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

ENCODE_CHUNK_TOKENS = 16_384
"""Vectors compared with the whole table at a time: 128 MiB of distances for 2,048 codes."""


class Codebook(nn.Module):
    """`num_codes` vectors of one level.

    `codes` float32 [num_codes, width] is a buffer, not a parameter: the original learns it by
    moving averages, never by gradients.
    """

    codes: Tensor

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(num_codes, width))

    def encode(self, vectors: Tensor) -> Tensor:
        """Index of the nearest code, the lowest index on a tie.

        float32 [B, width, T] -> int64 [B, T].
        """
        batch, width, _ = vectors.shape
        rows = vectors.transpose(1, 2).reshape(-1, width)
        nearest = [self._nearest(chunk) for chunk in torch.split(rows, ENCODE_CHUNK_TOKENS)]
        return torch.cat(nearest).view(batch, -1)

    def _nearest(self, rows: Tensor) -> Tensor:
        # The summation order of the original, so that near ties fall on the same side.
        table = self.codes.t()
        squares = rows.square().sum(dim=-1, keepdim=True)
        distances = squares - 2 * rows @ table + table.square().sum(dim=0, keepdim=True)
        return distances.argmin(dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, width, T]."""
        return functional.embedding(codes, self.codes).transpose(1, 2).contiguous()
