"""What a decode step reads and moves on, in memory that never moves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from jukebox_core.prior import JukeboxPrior, PriorCache
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.step_kind import StepKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows that step together, those that draw first and the padding behind them: for B rows of
    which `num_own` draw.

    slots      int64 [B]  each at most once
    positions  int64 [B]  music position of the token to be drawn next; of padding, one at which
                          its slot may be written
    last_ids   int64 [B]  the token before it
    sampling   settings of the first `num_own` rows
    """

    slots: Tensor
    positions: Tensor
    last_ids: Tensor
    num_own: int
    sampling: RowSampling


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMemory:
    """What all steps of a prior share: the cache, and of every slot its ids and its numbers.

    ids       int64 [num_slots * context_tokens]    as drawn; in a merged vocabulary also characters
    uniforms  float64 [num_slots * context_tokens]  one number in [0, 1) for each new token
    """

    cache: PriorCache
    ids: Tensor
    uniforms: Tensor


class StepBuffers:
    """Static memory for steps of `num_rows` rows: a batch is copied into it, and counted on in it.

    A row of padding computes what the last token of its slot would, at one place, again and again,
    and writes the id that is there already: it changes nothing that anybody reads, whoever holds
    the slot.
    """

    def __init__(self, num_rows: int, context_tokens: int, device: torch.device) -> None:
        self.num_rows = num_rows
        self._context_tokens = context_tokens
        zeros = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self.slots, self.positions, self.last_ids = zeros.clone(), zeros.clone(), zeros.clone()
        # In the flattened memory of all slots: where the drawn id goes.
        self.places = zeros.clone()
        self.advance = zeros.clone()
        self.is_own = zeros.bool()
        self.temperature = torch.ones(num_rows, dtype=torch.float64, device=device)
        self.top_k = zeros.clone()
        self.top_p = torch.zeros(num_rows, dtype=torch.float64, device=device)
        self.any_top_k = self.any_top_p = False

    def load(self, rows: Rows) -> None:
        """Take over rows, `num_rows` of them, in place of those that were here."""
        is_own = torch.arange(self.num_rows, device=self.slots.device) < rows.num_own
        self.is_own.copy_(is_own)
        self.advance.copy_(is_own)
        self.slots.copy_(rows.slots)
        self.positions.copy_(rows.positions)
        self.last_ids.copy_(rows.last_ids)
        places = rows.slots * self._context_tokens + rows.positions
        self.places.copy_(torch.where(is_own, places, places - 1))
        for buffer, values, unused in (
            (self.temperature, rows.sampling.temperature, 1.0),
            (self.top_k, rows.sampling.top_k, 0),
            (self.top_p, rows.sampling.top_p, 0.0),
        ):
            buffer.fill_(unused)
            buffer[: rows.num_own].copy_(values)
        self.any_top_k, self.any_top_p = rows.sampling.any_top_k, rows.sampling.any_top_p

    def step(self, prior: JukeboxPrior, memory: DrawnMemory, kind: StepKind) -> Tensor:
        """Draw one token of every row and move on; the logits, float32 [num_rows, V].

        Nothing here asks the device for a value, and nothing that outlives the step is new memory.
        """
        logits = prior.decode(self.last_ids, self.positions, memory.cache, self.slots, step=kind)
        uniforms = memory.uniforms.index_select(0, self.places)
        drawn = draw(logits, uniforms, self._sampling())
        drawn = torch.where(self.is_own, drawn, self.last_ids)
        memory.ids.index_copy_(0, self.places, drawn)
        self.last_ids.copy_(drawn)
        self.positions.add_(self.advance)
        self.places.add_(self.advance)
        return logits

    def _sampling(self) -> RowSampling:
        return RowSampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            any_top_k=self.any_top_k,
            any_top_p=self.any_top_p,
        )


class Beginning:
    """Where the rows of some buffers stood before `num_steps` steps, to go back to.

    One step can be taken again as it is: it writes the same once more. Several cannot, since a new
    row of a window takes the place of an old one in the cache. So what they write over is kept.
    """

    def __init__(
        self, buffers: StepBuffers, memory: DrawnMemory, num_steps: int, *, num_prefix_tokens: int
    ) -> None:
        self._buffers = buffers
        self.positions, self.places = buffers.positions.clone(), buffers.places.clone()
        self._last_ids = buffers.last_ids.clone()
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []
        cache = memory.cache
        for number in range(num_steps):
            positions = self.positions + number * buffers.advance + num_prefix_tokens
            steps = cache.plan(positions, buffers.slots)
            for kind, strips in zip(cache.config.transformer.layers, cache.layers, strict=True):
                write = steps[kind].write
                if write is not None:
                    flat = strips.view(-1, strips.shape[-1])
                    self._kept.append((flat, write, flat.index_select(0, write)))

    def restore(self) -> None:
        """All as it was; drawn ids stay, and are written over by those that are drawn again."""
        self._buffers.positions.copy_(self.positions)
        self._buffers.places.copy_(self.places)
        self._buffers.last_ids.copy_(self._last_ids)
        for flat, write, values in self._kept:
            flat.index_copy_(0, write, values)


class BufferSet:
    """Buffers of every size that was needed so far, and which batch each holds at present."""

    def __init__(self, context_tokens: int, device: torch.device) -> None:
        self._context_tokens, self._device = context_tokens, device
        self._buffers: dict[int, StepBuffers] = {}
        self._held: dict[int, tuple[str, ...]] = {}

    def held(self, ids: tuple[str, ...], num_rows: int) -> StepBuffers | None:
        """The buffers of `num_rows` rows in which the batch of these sequences counts on."""
        return self._buffers[num_rows] if self._held.get(num_rows) == ids else None

    def load(self, ids: tuple[str, ...], rows: Rows, *, is_to_stay: bool) -> StepBuffers:
        """Copy a batch into buffers of its size; unless it `is_to_stay`, it holds them only once.

        Whoever steps in another company now leaves the one before, which counts on without it.
        """
        for others in [n for n, held in self._held.items() if not set(ids).isdisjoint(held)]:
            del self._held[others]
        num_rows = len(rows.slots)
        if num_rows not in self._buffers:
            self._buffers[num_rows] = StepBuffers(num_rows, self._context_tokens, self._device)
        self._buffers[num_rows].load(rows)
        self._held.pop(num_rows, None)
        if is_to_stay:
            self._held[num_rows] = ids
        return self._buffers[num_rows]

    def forget(self) -> None:
        """Every batch has to be loaded anew."""
        self._held.clear()
