"""What a prior reads in training in place of the true codes: errors, as it makes them itself.

In training a prior reads the truth, and in sampling what it drew: there it meets its errors for the
first time, and goes on as if they were right (scheduled sampling, arXiv 1506.03099). Two kinds are
shown to it here: single codes that it drew itself, and an end of the song that comes too early,
after which a small prior stays silent. What it must predict stays true. It is an addition of this
library.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

END_TOKENS = 4
"""Last codes of a song of which a false end is made."""

LONGEST_FALSE_END = 32
"""In tokens: half a second of `mini`."""

NEAR_THE_END = 64
"""Half of the false ends begin within so many tokens of the true one, where a window holds it."""


def with_drawn_codes(codes: Tensor, logits: Tensor, chances: Tensor, share: float) -> Tensor:
    """Codes of which a share is what `logits` say, int64 [B, T].

    codes    int64 [B, T], the truth, or what stands for it
    logits   float [B, T, num_codes]: of each code, given those before it
    chances  float32 [2, B, T] in [0, 1): whether a code is drawn, and which
    """
    cumulative = logits.float().softmax(dim=-1).cumsum(dim=-1)
    threshold = chances[1].unsqueeze(-1) * cumulative[..., -1:]
    drawn = (cumulative <= threshold).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    return torch.where(chances[0] < share, drawn, codes)


def with_false_end(
    codes: NDArray[np.int64], num_left: int, end: NDArray[np.int16], random: np.random.Generator
) -> NDArray[np.int64]:
    """A window that sounds for a moment as if its song were over, int64 [T].

    codes     int64 [T]: the window; codes behind the end of the song are padding
    num_left  tokens from the beginning of the window to the end of the song
    end       int16 [n]: the last codes of the song
    """
    num_tokens = min(num_left, len(codes))
    earliest = 0
    if num_left <= len(codes) and random.random() < 0.5:
        earliest = max(num_tokens - NEAR_THE_END, 0)
    start = int(random.integers(earliest, num_tokens))
    stop = min(start + int(random.integers(1, LONGEST_FALSE_END + 1)), num_tokens)
    changed = codes.copy()
    changed[start:stop] = random.choice(end, stop - start)
    return changed
