"""Learning a codebook without gradients: moving averages, and a new life for dead codes.

The averages are the original's (`bottleneck.py`). What differs: a code is dead below a share of
the mean use instead of below one vector a step, because small batches hold fewer vectors than
there are codes; and a revived code begins with averages of its own, so that it is not replaced
again at every step until it happens to be chosen often.
"""

import torch
from torch import Tensor, nn

from jukebox_core.vqvae.codebook import Codebook

DEAD_SHARE = 0.05
"""Codes chosen less often than this share of the mean are given another place."""

REVIVED_SHARE = 0.2
"""Share of the mean use that a code begins with: with a decay of 0.99 it lives for 138 steps
unchosen."""


_NO_LONGER_YOUNG = 1_000
"""Updates after which the averages have their full length."""


class CodebookLearner(nn.Module):
    """The moving averages behind one codebook.

    `counts` float32 [num_codes]        how many vectors a step chose each code
    `sums`   float32 [num_codes, width] their sum
    `steps`  int64 []                   updates so far

    The first averages are short, with a decay of (1 + steps) / (10 + steps): a young encoder moves
    its vectors away from codes that follow slowly, until a single code is left.
    """

    counts: Tensor
    sums: Tensor
    steps: Tensor

    def __init__(self, num_codes: int, width: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("counts", torch.zeros(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def initialize(self, codebook: Codebook, vectors: Tensor) -> None:
        """Place the codes on random vectors of the first batch; does nothing the second time.

        vectors  float32 [N, width]
        """
        if self.counts.any():
            return
        mean_use = len(vectors) * _num_processes() / len(self.counts)
        codebook.place(_random_rows(vectors, len(self.counts)))
        self.counts.fill_(mean_use)
        self.sums.copy_(codebook.codes * mean_use)

    @torch.no_grad()
    def begin_with(self, codebook: Codebook) -> None:
        """Averages for codes that were learned before: all equally used, and none young.

        They count as little as one use each, so that what the first steps choose decides.
        """
        self.counts.fill_(1.0)
        self.sums.copy_(codebook.codes)
        self.steps.fill_(_NO_LONGER_YOUNG)

    @torch.no_grad()
    def update(self, codebook: Codebook, vectors: Tensor, chosen: Tensor) -> dict[str, Tensor]:
        """Move every code towards the mean of the vectors that chose it; revive the dead.

        counts <- decay * counts + (1 - decay) * (vectors that chose it), sums likewise, and the
        code is sums / counts.

        vectors  float32 [N, width]
        chosen   int64 [N]
        returns  `codes_used` of this step, `perplexity` of the averages, `codes_revived`
        """
        num_codes, width = self.sums.shape
        new_counts = torch.bincount(chosen, minlength=num_codes).to(vectors.dtype)
        new_sums = vectors.new_zeros(num_codes, width).index_add_(0, chosen, vectors)
        _sum_over_processes(new_counts)
        _sum_over_processes(new_sums)
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        self.counts.lerp_(new_counts, 1 - decay)
        self.sums.lerp_(new_sums, 1 - decay)
        self.steps += 1
        dead = self._revive(vectors, mean_use=new_counts.sum() / num_codes)
        codebook.place(self.sums / self.counts[:, None])
        return {
            "codes_used": (new_counts > 0).sum().float(),
            "perplexity": perplexity(self.counts),
            "codes_revived": dead.sum().float(),
        }

    def _revive(self, vectors: Tensor, mean_use: Tensor) -> Tensor:
        """Put dead codes on random vectors of this step; bool [num_codes], which they were."""
        dead = self.counts < DEAD_SHARE * mean_use
        places = _random_rows(vectors, len(dead))
        begin = REVIVED_SHARE * mean_use
        self.counts.copy_(torch.where(dead, begin, self.counts))
        self.sums.copy_(torch.where(dead[:, None], places * begin, self.sums))
        return dead


def perplexity(counts: Tensor) -> Tensor:
    """exp of the entropy of codes chosen so often: how many equally used codes it is worth."""
    shares = counts / counts.sum().clamp_min(1e-12)
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()


def rows_of(vectors: Tensor) -> Tensor:
    """[B, width, T] -> [B * T, width], in the order of flattened codes [B, T]."""
    return vectors.transpose(1, 2).flatten(0, 1)


def _random_rows(vectors: Tensor, num_rows: int) -> Tensor:
    """Different rows if there are enough; else all of them again and again, moved a little."""
    repeats = -(-num_rows // len(vectors))
    if repeats > 1:
        vectors = vectors.repeat(repeats, 1)
        spread = 0.01 * vectors.std() / vectors.shape[1] ** 0.5
        vectors = vectors + spread * torch.randn_like(vectors)
    order = torch.randperm(len(vectors), device=vectors.device)[:num_rows]
    rows = vectors[order].contiguous()
    if _num_processes() > 1:  # every process must revive the same
        torch.distributed.broadcast(rows, src=0)
    return rows


def _sum_over_processes(values: Tensor) -> None:
    if _num_processes() > 1:
        torch.distributed.all_reduce(values)


def _num_processes() -> int:
    distributed = torch.distributed
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1
