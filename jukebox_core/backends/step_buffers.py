"""What a step reads and moves on, in memory that never moves."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jukebox_core.backends.batch import Batch, Row, SlotMemory
from jukebox_core.sampling.sampler import RowSampling, draw

Decode = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits of ids, positions and slots, see `Backend.decode`."""


class StepBuffers:
    """Static memory for steps of `num_rows` rows: a batch is copied into it, and counted on in it.

    The rows that sample come first, `num_own` of them; padding is behind them. It computes what the
    last token of its slot would, at one place, again and again: it changes nothing that anybody
    reads, whoever holds the slot.
    """

    def __init__(self, num_rows: int, memory: SlotMemory) -> None:
        self.num_rows, self.num_own = num_rows, 0
        self._memory = memory
        zeros = torch.zeros(num_rows, dtype=torch.int64, device=memory.ids.device)
        self.slots, self.positions, self.last_ids = zeros.clone(), zeros.clone(), zeros.clone()
        # In the flattened memory of all slots: where the sampled id goes.
        self.places = zeros.clone()
        self.advance = zeros.clone()
        self.is_own = zeros.bool()
        self.sampling = RowSampling(
            temperature=torch.ones(num_rows, dtype=torch.float64, device=zeros.device),
            top_k=zeros.clone(),
            top_p=torch.zeros(num_rows, dtype=torch.float64, device=zeros.device),
            any_top_k=False,
            any_top_p=False,
        )
        self._own = (self.last_ids, self.places, self.sampling)

    def load(self, rows: Sequence[Row], padding: Sequence[Row]) -> None:
        """Take over rows, `num_rows` with the padding, in place of those that were here."""
        device, num_own = self.slots.device, len(rows)
        both = [*rows, *padding]
        self.num_own = num_own
        self.slots.copy_(torch.tensor([row.slot for row in both], device=device))
        self.positions.copy_(torch.tensor([row.position for row in both], device=device))
        places = self.slots * self._memory.context_tokens + self.positions
        self.last_ids.copy_(self._memory.flat_ids.index_select(0, places - 1))
        is_own = torch.arange(self.num_rows, device=device) < num_own
        self.is_own.copy_(is_own)
        self.advance.copy_(is_own)
        # A row of padding writes the id that is there already.
        self.places.copy_(torch.where(is_own, places, places - 1))
        self._load_sampling(RowSampling.from_params([row.params for row in rows], device))
        self._own = (self.last_ids[:num_own], self.places[:num_own], self._sampling_of(num_own))

    def _load_sampling(self, own: RowSampling) -> None:
        num_own, all_rows = self.num_own, self.sampling
        for buffer, values, unused in (
            (all_rows.temperature, own.temperature, 1.0),
            (all_rows.top_k, own.top_k, 0),
            (all_rows.top_p, own.top_p, 0.0),
        ):
            buffer.fill_(unused)
            buffer[:num_own].copy_(values)
        self.sampling = RowSampling(
            temperature=all_rows.temperature,
            top_k=all_rows.top_k,
            top_p=all_rows.top_p,
            any_top_k=own.any_top_k,
            any_top_p=own.any_top_p,
        )

    def _sampling_of(self, num_rows: int) -> RowSampling:
        return RowSampling(
            temperature=self.sampling.temperature[:num_rows],
            top_k=self.sampling.top_k[:num_rows],
            top_p=self.sampling.top_p[:num_rows],
            any_top_k=self.sampling.any_top_k,
            any_top_p=self.sampling.any_top_p,
        )

    def step(self, decode: Decode) -> None:
        """Sample one token of every row of its own, and move on.

        Until its last lines it only writes keys and values, at places that taking the step again
        writes once more; those take no memory, so that they are all done.
        """
        last_ids, places, sampling = self._own
        logits = decode(self.last_ids, self.positions, self.slots)
        if self.num_own < self.num_rows:
            logits = logits[: self.num_own]
        sampled = draw(logits, self._memory.flat_uniforms.index_select(0, places), sampling)
        self._memory.flat_ids.index_copy_(0, places, sampled)
        last_ids.copy_(sampled)
        self._move_on()

    def step_all(self, decode: Decode) -> Tensor:
        """As `step`, in one shape for any number of own rows; the logits, float32 [num_rows, V].

        Nothing here asks the device for a value, and nothing that outlives the step is new memory.
        """
        logits = decode(self.last_ids, self.positions, self.slots)
        uniforms = self._memory.flat_uniforms.index_select(0, self.places)
        sampled = draw(logits, uniforms, self.sampling)
        sampled = torch.where(self.is_own, sampled, self.last_ids)
        self._memory.flat_ids.index_copy_(0, self.places, sampled)
        self.last_ids.copy_(sampled)
        self._move_on()
        return logits

    def _move_on(self) -> None:
        self.positions.add_(self.advance)
        self.places.add_(self.advance)


class Snapshot:
    """Where the rows of some buffers stood before `num_steps` steps, to go back to.

    One step can be taken again as it is: it writes the same once more. Several cannot, since a new
    row of a window takes the place of an old one in the cache. So what they write over is copied.
    """

    def __init__(
        self, buffers: StepBuffers, memory: SlotMemory, num_steps: int, *, num_prefix_tokens: int
    ) -> None:
        self._buffers = buffers
        self.positions, self.places = buffers.positions.clone(), buffers.places.clone()
        self._last_ids = buffers.last_ids.clone()
        self._copies: list[tuple[Tensor, Tensor, Tensor]] = []
        cache = memory.cache
        for number in range(num_steps):
            positions = self.positions + number * buffers.advance + num_prefix_tokens
            steps = cache.plan(positions, buffers.slots)
            for kind, strips in zip(cache.config.transformer.layers, cache.layers, strict=True):
                write = steps[kind].write
                if write is not None:
                    flat = strips.view(-1, strips.shape[-1])
                    self._copies.append((flat, write, flat.index_select(0, write)))

    def restore(self) -> None:
        """All as it was; sampled ids stay, and are replaced by those that are sampled again."""
        self._buffers.positions.copy_(self.positions)
        self._buffers.places.copy_(self.places)
        self._buffers.last_ids.copy_(self._last_ids)
        for flat, write, values in self._copies:
            flat.index_copy_(0, write, values)


class BufferSet:
    """Buffers of every size that was needed so far, and which batch each holds at present."""

    def __init__(self, memory: SlotMemory) -> None:
        self._memory = memory
        self._buffers: dict[int, StepBuffers] = {}
        self._held: dict[int, tuple[str, ...]] = {}

    def holding(self, batch: Batch, num_rows: int) -> StepBuffers:
        """The buffers of `num_rows` rows in which `batch` is counted on; loaded if need be."""
        if self._held.get(num_rows) == batch.key:
            return self._buffers[num_rows]
        # Whoever steps in another batch now leaves the one before, which counts on without it.
        for others in [n for n, key in self._held.items() if not set(batch.key).isdisjoint(key)]:
            del self._held[others]
        if num_rows not in self._buffers:
            self._buffers[num_rows] = StepBuffers(num_rows, self._memory)
        self._held.pop(num_rows, None)
        padding = batch.padding(num_rows - len(batch.key))
        self._buffers[num_rows].load(batch.rows(), padding.rows)
        if padding.is_lasting:
            self._held[num_rows] = batch.key
        return self._buffers[num_rows]

    def forget(self) -> None:
        """Every batch has to be loaded anew."""
        self._held.clear()
