"""Errors of its own that a prior reads while it trains, so that it learns to go on from them.

In training a prior reads the truth, and in sampling what it drew: there it meets its errors for the
first time, and goes on as if they were right (scheduled sampling, arXiv 1506.03099). What it must
predict stays true. It is an addition of this library.
"""

import torch
from torch import Tensor


def with_drawn_codes(codes: Tensor, logits: Tensor, chances: Tensor, share: float) -> Tensor:
    """Codes of which a share is what `logits` say, int64 [B, T].

    codes    int64 [B, T], the truth
    logits   float [B, T, num_codes]: of each code, given those before it
    chances  float32 [2, B, T] in [0, 1): whether a code is drawn, and which
    """
    cumulative = logits.float().softmax(dim=-1).cumsum(dim=-1)
    threshold = chances[1].unsqueeze(-1) * cumulative[..., -1:]
    drawn = (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    return torch.where(chances[0] < share, drawn, codes)
