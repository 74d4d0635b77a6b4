"""Drawing inside one window, token by token: the slow twin of the engine, equal to it to the bit.

What the engine does for that on a CPU is done here, too: windows begin one by one, and a step in
torch computes four rows at least. Elsewhere all rows begin together.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.projection import MIN_CPU_ROWS
from jukebox_core.step_kind import StepKind

if TYPE_CHECKING:
    from jukebox_core.prior.prior import JukeboxPrior

Draw = Callable[[Tensor, Tensor], Tensor]
"""Turns logits [B, V] and one uniform number per row, float64 [B], into ids int64 [B]."""


def draw_ids(
    prior: "JukeboxPrior",
    codes: Tensor,
    labels: Tensor,
    upper_codes: Tensor | None,
    *,
    draw: Draw,
    uniforms: Tensor,
) -> Tensor:
    """Ids int64 [B, num_tokens] of the tokens after `codes`, int64 [B, n].

    labels       int64 [B, W], see `JukeboxPrior.condition`
    upper_codes  int64 [B, upper_context_tokens] | None
    uniforms     float64 [B, num_tokens]
    """
    num_rows, num_given = codes.shape
    on_cpu = codes.device.type == "cpu"
    is_padded = on_cpu and prior.step is StepKind.PLAIN
    num_slots = max(num_rows, MIN_CPU_ROWS) if is_padded else num_rows
    cache = prior.allocate_cache(num_slots)
    slots = torch.arange(num_slots, device=codes.device)
    begun = [
        _prefill(prior, cache, slots, rows, codes, labels, upper_codes)
        for rows in _groups(num_rows, one_by_one=on_cpu)
    ]
    drawn = [draw(torch.cat(begun), uniforms[:, 0])]
    padding = (0, num_slots - num_rows)
    # Padding draws at place 1.
    positions = F.pad(torch.full_like(slots[:num_rows], num_given), padding, value=1)
    for i in range(1, uniforms.shape[1]):
        positions[:num_rows] += 1
        logits = prior.decode(F.pad(drawn[-1], padding), positions, cache, slots)
        drawn.append(draw(logits[:num_rows], uniforms[:, i]))
    return torch.stack(drawn, dim=1)


def _groups(num_rows: int, *, one_by_one: bool) -> list[slice]:
    return [slice(i, i + 1) for i in range(num_rows)] if one_by_one else [slice(0, num_rows)]


def _prefill(
    prior: "JukeboxPrior",
    cache: PriorCache,
    slots: Tensor,
    rows: slice,
    codes: Tensor,
    labels: Tensor,
    upper_codes: Tensor | None,
) -> Tensor:
    """Logits [b, V] of the first new token of some rows."""
    upper = None if upper_codes is None else upper_codes[rows]
    conditioning = prior.condition(labels[rows], upper)
    return prior.prefill(codes[rows], conditioning, cache, slots[rows])
