"""Drawing inside one window, token by token: the slow twin of the engine, equal to it to the bit.

What the engine does for that on a CPU is done here, too: windows begin one by one, and a step in
torch computes four rows at least. Elsewhere all rows begin together. With the native step it is
not slow, if it is told how ids are drawn: then many tokens are drawn in one call.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.native_step import NativeGroup, NativeRow, draw_tokens
from jukebox_core.prior.projection import MIN_CPU_ROWS
from jukebox_core.song import SamplingParams
from jukebox_core.step_kind import StepKind

if TYPE_CHECKING:
    from jukebox_core.prior.prior import JukeboxPrior

Draw = Callable[[Tensor, Tensor], Tensor]
"""Turns logits [B, V] and one uniform number per row, float64 [B], into ids int64 [B]."""
OnDrawn = Callable[[int], None]
"""Hears after every call how many more tokens of each row are drawn."""

_TOKENS_PER_CALL = 64
"""Of the native step: progress is heard of, and an interrupt obeyed, between two calls."""


def draw_ids(
    prior: "JukeboxPrior",
    codes: Tensor,
    labels: Tensor,
    upper_codes: Tensor | None,
    *,
    draw: Draw,
    uniforms: Tensor,
    params: Sequence[SamplingParams] | None,
    on_drawn: OnDrawn,
) -> Tensor:
    """Ids int64 [B, num_tokens] of the tokens after `codes`, int64 [B, n].

    labels       int64 [B, W], see `JukeboxPrior.condition`
    upper_codes  int64 [B, upper_context_tokens] | None
    uniforms     float64 [B, num_tokens]
    params       what `draw` does for each of the B rows, if it may be done in C
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
    on_drawn(1)
    if prior.step is StepKind.NATIVE and params is not None:
        return _draw_natively(prior, cache, drawn[0], uniforms, num_given, params, on_drawn)
    padding = (0, num_slots - num_rows)
    # Padding draws at place 1.
    positions = F.pad(torch.full_like(slots[:num_rows], num_given), padding, value=1)
    for i in range(1, uniforms.shape[1]):
        positions[:num_rows] += 1
        logits = prior.decode(F.pad(drawn[-1], padding), positions, cache, slots)
        drawn.append(draw(logits[:num_rows], uniforms[:, i]))
        on_drawn(1)
    return torch.stack(drawn, dim=1)


def _draw_natively(
    prior: "JukeboxPrior",
    cache: PriorCache,
    first_ids: Tensor,
    uniforms: Tensor,
    num_given: int,
    params: Sequence[SamplingParams],
    on_drawn: OnDrawn,
) -> Tensor:
    """Ids int64 [B, num_tokens], of which the first, int64 [B], are drawn."""
    num_rows, end = len(first_ids), num_given + uniforms.shape[1]
    ids = torch.zeros(num_rows, prior.config.context_tokens, dtype=torch.int64)
    numbers = torch.zeros(ids.shape, dtype=torch.float64)
    ids[:, num_given] = first_ids
    numbers[:, num_given:end] = uniforms
    num_threads = torch.get_num_threads()
    for start in range(num_given + 1, end, _TOKENS_PER_CALL):
        rows = [NativeRow.of(slot, start, params[slot]) for slot in range(num_rows)]
        num_steps = min(_TOKENS_PER_CALL, end - start)
        group = NativeGroup(prior.native(cache), rows, num_steps, ids, numbers)
        draw_tokens(group.parts(num_threads), num_threads=num_threads)
        on_drawn(num_steps)
    return ids[:, num_given:end]


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
