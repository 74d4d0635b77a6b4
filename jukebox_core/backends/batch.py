"""What a prior samples into, and the one form of batch that every backend takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.zero_pages import ZeroPages
from jukebox_core.song import SamplingParams


class SlotMemory:
    """What all backends of a prior share, in rows of one for each slot; it never moves.

    On a CPU a slot takes memory as its window fills it, and none after `release`.

    cache     keys and values
    ids       int64 [num_slots, context_tokens]    of the vocabulary: in a merged one, of characters
                                                   as well
    uniforms  float64 [num_slots, context_tokens]  one number in [0, 1) for each new token

    `flat_ids` and `flat_uniforms` are the same memory in one dimension.
    """

    def __init__(self, prior: JukeboxPrior, num_slots: int, device: torch.device) -> None:
        shape = (num_slots, prior.config.context_tokens)
        with torch.inference_mode():
            self.cache = prior.allocate_cache(num_slots, device=device)
            self._ids = ZeroPages(shape, device=device, dtype=torch.int64)
            self._uniforms = ZeroPages(shape, device=device, dtype=torch.float64)
            self.ids, self.uniforms = self._ids.tensor, self._uniforms.tensor
            self.flat_ids, self.flat_uniforms = self.ids.view(-1), self.uniforms.view(-1)

    def release(self, slots: Iterable[int]) -> None:
        """Give back what some slots hold, where memory is taken by need (on a CPU)."""
        with torch.inference_mode():
            numbers = torch.tensor(list(slots))
            for pages in (self.cache, self._ids, self._uniforms):
                pages.release(numbers)

    @property
    def num_slots(self) -> int:
        """Windows that it holds."""
        return self.ids.shape[0]

    @property
    def context_tokens(self) -> int:
        """Tokens of one of them."""
        return self.ids.shape[1]


class Row(NamedTuple):
    """A slot, the music position of the token that it samples next, and how.

    Padding has `params` as well, and they are not read.
    """

    slot: int
    position: int
    params: SamplingParams


class Padding(NamedTuple):
    """Rows to fill a batch up with; `is_lasting` if they stay where they are between two steps."""

    rows: list[Row]
    is_lasting: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that step together. Rows are asked for only when they are not counted on elsewhere.

    key       who they are, in order
    rows      where they stand now
    padding   so many other rows, each of a slot of its own, at a position that may be written
    min_rows  rows that are computed at least, padding included
    max_rows  rows that may be computed together
    """

    key: tuple[str, ...]
    rows: Callable[[], list[Row]]
    padding: Callable[[int], Padding]
    min_rows: int
    max_rows: int
