"""Nearest neighbors in a table of vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from jukebox_core.config import JukeboxVQVAEConfig

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
        return self.nearest(self.compare(vectors))

    def nearest(self, compared: Tensor) -> Tensor:
        """As `encode`, of vectors as `compare` gives them."""
        batch, width, _ = compared.shape
        rows = compared.transpose(1, 2).reshape(-1, width)
        indices = [self._nearest(chunk) for chunk in torch.split(rows, ENCODE_CHUNK_TOKENS)]
        return torch.cat(indices).view(batch, -1)

    def _nearest(self, rows: Tensor) -> Tensor:
        # The summation order of the original, so that near ties fall on the same side.
        table = self.codes.t()
        squares = rows.square().sum(dim=-1, keepdim=True)
        distances = squares - 2 * rows @ table + table.square().sum(dim=0, keepdim=True)
        return distances.argmin(dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, width, T], what the decoder takes."""
        return self.expand(self.look_up(codes))

    def look_up(self, codes: Tensor) -> Tensor:
        """int64 [B, T] -> the codes' own vectors, as `compare` gives them."""
        return functional.embedding(codes, self.codes).transpose(1, 2).contiguous()

    def compare(self, vectors: Tensor) -> Tensor:
        """An encoder's vectors as they are compared with the codes: here as they are."""
        return vectors

    def expand(self, vectors: Tensor) -> Tensor:
        """The codes' own vectors as the decoder takes them: here as they are."""
        return vectors

    @torch.no_grad()
    def place(self, vectors: Tensor) -> None:
        """Move all codes, in training: float32 like `codes`."""
        self.codes.copy_(vectors)


class CosineCodebook(Codebook):
    """Codes that are directions in few dimensions, an option of ours; `codes` [num_codes, width].

    Vectors are projected to the codes' width and compared by angle, which keeps more codes in use;
    the chosen direction is projected back for the decoder.
    """

    def __init__(self, num_codes: int, width: int, embedding_width: int) -> None:
        super().__init__(num_codes, width)
        self.project_in = nn.Linear(embedding_width, width, bias=False)
        self.project_out = nn.Linear(width, embedding_width)
        self.place(self.codes)

    def compare(self, vectors: Tensor) -> Tensor:
        """float32 [B, embedding_width, T] -> [B, width, T] of length 1."""
        projected = self.project_in(vectors.transpose(1, 2))
        return functional.normalize(projected, dim=-1).transpose(1, 2)

    def expand(self, vectors: Tensor) -> Tensor:
        """float32 [B, width, T] -> [B, embedding_width, T]."""
        expanded: Tensor = self.project_out(vectors.transpose(1, 2))
        return expanded.transpose(1, 2).contiguous()

    @torch.no_grad()
    def place(self, vectors: Tensor) -> None:
        """Move all codes to the directions of `vectors`."""
        self.codes.copy_(functional.normalize(vectors, dim=-1))


def build_codebook(config: JukeboxVQVAEConfig) -> Codebook:
    """The kind of codebook that the configuration asks for."""
    if config.codebook_width is None:
        return Codebook(config.num_codes, config.embedding_width)
    return CosineCodebook(config.num_codes, config.codebook_width, config.embedding_width)
