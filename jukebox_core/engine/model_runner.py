"""Runs one prior for many sequences; holds all tensors, decides nothing."""

from collections.abc import Sequence as Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.engine.graph_plan import bucket_rows
from jukebox_core.engine.sequence import Sequence, check_sequence
from jukebox_core.engine.step_buffers import DrawnMemory, Rows, StepBuffers
from jukebox_core.engine.step_graphs import Capturer, StepGraphs
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.native_step import NativeGroup, NativeRow, draw_tokens
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.step_kind import StepKind


@dataclass(frozen=True, slots=True)
class _Batch:
    """Sequences that step together, and where they stand: on the device, moved on in place.

    `slots`, `positions` and `last_ids` int64 [max(B, min_rows)] have the padding behind the rows;
    `own_last_ids` is the part of the rows. `positions` are those of the tokens to be drawn next,
    `places` int64 [B] the same in the flattened memory of all slots.
    """

    slots: Tensor
    positions: Tensor
    advance: Tensor
    last_ids: Tensor
    own_last_ids: Tensor
    places: Tensor
    sampling: RowSampling

    @property
    def num_rows(self) -> int:
        """How many are computed, with the padding."""
        return self.slots.shape[0]

    def move_on(self, drawn: Tensor) -> None:
        """One more token of each row is drawn: int64 [B]. Takes no memory, so that it is whole."""
        self.own_last_ids.copy_(drawn)
        self.positions.add_(self.advance)
        self.places.add_(1)


class ModelRunner:
    """One prior with its cache of `num_slots` rows.

    Drawn ids stay on the device, in one row of `context_tokens` for each slot, and are copied to
    the host once, when a sequence ends: no step waits for the device.

    A step always computes at least `min_rows` rows (as far as there are slots, and memory). Matrix
    products add up in another order when there are very few rows, so without the padding a song
    would depend on whether it has company (measured on the CPU: the last bits move below 4 rows).
    The native step needs no padding and no batch: it reads ids and numbers of each slot where they
    lie, and its rows are the same to the bit in any number.

    A step that fails for want of memory can be taken again, for some of its rows or all: until its
    last lines it only writes keys and values, at places that taking it again writes once more.

    A step is many small operations, and on a CPU each costs as much as a small product. So what a
    batch needs is put together when it is formed, and only counted on from step to step. With a
    `capturer` steps are captured and replayed (see `step_graphs.py`).
    """

    def __init__(
        self,
        prior: JukeboxPrior,
        *,
        num_slots: int,
        min_rows: int,
        device: torch.device,
        capturer: Capturer | None = None,
    ) -> None:
        self.prior = prior
        self.num_slots = num_slots
        self.min_rows = min(min_rows, num_slots)
        self.device = device
        context_tokens = prior.config.context_tokens
        with torch.inference_mode():
            self._cache = prior.allocate_cache(num_slots, device=device)
            # Ids as drawn: in a merged vocabulary these may be characters.
            self._ids = torch.zeros(num_slots, context_tokens, dtype=torch.int64, device=device)
            self._uniforms = torch.zeros(
                num_slots, context_tokens, dtype=torch.float64, device=device
            )
            self._flat_ids, self._flat_uniforms = self._ids.view(-1), self._uniforms.view(-1)
        self._held: dict[int, Sequence] = {}
        self._batches: dict[tuple[str, ...], _Batch] = {}
        self.graphs: StepGraphs | None = None
        if capturer is not None:
            memory = DrawnMemory(
                cache=self._cache, ids=self._flat_ids, uniforms=self._flat_uniforms
            )
            self.graphs = StepGraphs(prior, memory, capturer)

    @torch.inference_mode()
    def prefill(self, sequence: Sequence) -> None:
        """Read the prefix of `sequence` into its slot and draw its first new token.

        Always alone, so that the numbers cannot depend on who else arrives at the same time.

        Raises:
            SamplingError: the sequence does not fit the prior.
        """
        check_sequence(self.prior.config, sequence)
        slot = _slot_of(sequence)
        num_prefix = sequence.num_prefix
        prefix = self._to_device(sequence.prefix_codes)[None]
        upper = sequence.upper_codes
        conditioning = self.prior.condition(
            torch.tensor([sequence.labels], dtype=torch.int64, device=self.device),
            None if upper is None else self._to_device(upper)[None],
        )
        slots = torch.tensor([slot], device=self.device)
        logits = self.prior.prefill(
            prefix, conditioning, self._cache, slots, step=self._step_of([sequence])
        )
        uniforms = self._uniforms_of(sequence)
        sampling = RowSampling.from_params([sequence.params], self.device)
        self._ids[slot, :num_prefix] = self.prior.codes_to_ids(prefix[0])
        self._ids[slot, num_prefix] = draw(logits, uniforms[:1], sampling)[0]
        self._uniforms[slot, num_prefix : num_prefix + sequence.num_new] = uniforms
        self._held[slot] = sequence
        self._forget_batches()

    def is_native(self, sequences: Collection[Sequence]) -> bool:
        """Whether these are drawn in C, see `native_groups`."""
        return self._step_of(sequences) is StepKind.NATIVE

    def draws_several(self, sequences: Collection[Sequence]) -> bool:
        """Whether `decode` draws several tokens of these in less time than one after the other."""
        step = self._step_of(sequences)
        return step is StepKind.NATIVE or self._graphs_for(step) is not None

    @torch.inference_mode()
    def decode(self, sequences: Collection[Sequence], *, max_rows: int, num_steps: int = 1) -> int:
        """Draw up to `num_steps` tokens of each of `sequences`, wherever they stand.

        At most `max_rows` rows are computed together, padding included; there must not be more
        sequences, all must be of one step kind, and each must have that many tokens left. Returns
        how many were drawn, at least one, for whoever calls to count them in `num_drawn`; if this
        raises, none is.
        """
        step = self._step_of(sequences)
        if step is StepKind.NATIVE:
            draw_tokens(self.native_groups(sequences, num_steps, num_parts=1))
            return num_steps
        graphs = self._graphs_for(step)
        try:
            if graphs is not None:
                buffers = self._buffers_of(sequences, graphs, max_rows)
                return graphs.draw(buffers, num_steps, step=step)
            # One and no more: what several write over, taking them again would read.
            self._decode_one(sequences, max_rows)
            return 1
        except Exception:
            self._forget_batches()  # they may have counted steps that are to be taken again
            raise

    def _graphs_for(self, step: StepKind) -> StepGraphs | None:
        return self.graphs if self.graphs is not None and self.graphs.serves(step) else None

    def native_groups(
        self, sequences: Collection[Sequence], num_steps: int, *, num_parts: int
    ) -> list[NativeGroup]:
        """What `decode` would draw in C, for `draw_tokens`; in as many parts as there are cores.

        Raises:
            ConfigError: the prior cannot be computed in C.
        """
        rows = [
            NativeRow.of(_slot_of(each), each.num_prefix + each.num_drawn, each.params)
            for each in sequences
        ]
        native = self.prior.native(self._cache)
        return NativeGroup(native, rows, num_steps, self._ids, self._uniforms).parts(num_parts)

    def _step_of(self, sequences: Collection[Sequence]) -> StepKind:
        return sequences[0].step or self.prior.step

    def _decode_one(self, sequences: Collection[Sequence], max_rows: int) -> None:
        step = self._step_of(sequences)
        batch = self._batch_of(sequences, min(self.min_rows, max_rows))
        logits = self.prior.decode(
            batch.last_ids, batch.positions, self._cache, batch.slots, step=step
        )
        if batch.num_rows > len(sequences):
            logits = logits[: len(sequences)]
        uniforms = self._flat_uniforms.index_select(0, batch.places)
        drawn = draw(logits, uniforms, batch.sampling)
        self._flat_ids.index_copy_(0, batch.places, drawn)
        batch.move_on(drawn)

    @torch.inference_mode()
    def new_codes(self, sequence: Sequence) -> NDArray[np.int64]:
        """The codes drawn so far, int64 [num_drawn]; waits for the device."""
        start = sequence.num_prefix
        ids = self._ids[_slot_of(sequence), start : start + sequence.num_drawn]
        codes: NDArray[np.int64] = self.prior.to_codes(ids).cpu().numpy()
        return codes

    def free(self, slot: int) -> None:
        """Forget the sequence in `slot`; until the next prefill it only serves as padding."""
        self._held.pop(slot, None)
        self._forget_batches()

    def _forget_batches(self) -> None:
        self._batches.clear()
        if self.graphs is not None:
            self.graphs.buffers.forget()

    def _buffers_of(
        self, sequences: Collection[Sequence], graphs: StepGraphs, max_rows: int
    ) -> StepBuffers:
        """Where these sequences count on: the smallest buffers with room for them."""
        ids = tuple([sequence.id for sequence in sequences])
        num_slots = min(self.num_slots, max_rows)
        num_rows = bucket_rows(len(ids), min_rows=self.min_rows, num_slots=num_slots)
        buffers = graphs.buffers.held(ids, num_rows)
        if buffers is None:
            slots = [_slot_of(sequence) for sequence in sequences]
            padding = self._padding(slots, num_rows - len(slots))
            batch = self._form(sequences, padding)
            rows = Rows(
                slots=batch.slots,
                positions=batch.positions,
                last_ids=batch.last_ids,
                num_own=len(ids),
                sampling=batch.sampling,
            )
            is_to_stay = not any(slot in self._held for slot in padding)
            buffers = graphs.buffers.load(ids, rows, is_to_stay=is_to_stay)
        return buffers

    def _batch_of(self, sequences: Collection[Sequence], min_rows: int) -> _Batch:
        ids = tuple([sequence.id for sequence in sequences])
        batch = self._batches.get(ids)
        if batch is None or batch.num_rows != max(min_rows, len(ids)):
            # Who steps in another company now leaves the one before, which counts on without it.
            for others in [key for key in self._batches if not set(ids).isdisjoint(key)]:
                del self._batches[others]
            slots = [_slot_of(sequence) for sequence in sequences]
            padding = self._padding(slots, max(min_rows - len(slots), 0))
            batch = self._form(sequences, padding)
            if not any(slot in self._held for slot in padding):
                self._batches[ids] = batch
        return batch

    def _padding(self, slots: Collection[int], num_missing: int) -> list[int]:
        """Other slots, the free ones first.

        One of a sequence that steps in another batch may serve as padding, too: what its own step
        will write, or has written and not yet read, is written once more. It moves between two
        steps of this batch, so such a batch has to be formed for every step.
        """
        others = [slot for slot in range(self.num_slots) if slot not in slots]
        return sorted(others, key=lambda slot: slot in self._held)[:num_missing]

    def _form(self, sequences: Collection[Sequence], padding: Collection[int]) -> _Batch:
        context_tokens = self.prior.config.context_tokens
        slots = [*(_slot_of(sequence) for sequence in sequences), *padding]
        # Free slots draw at place 1.
        held = [self._held.get(slot) for slot in slots]
        positions = [1 if each is None else each.num_prefix + each.num_drawn for each in held]
        places = [
            slot * context_tokens + position
            for slot, position in zip(slots, positions, strict=True)
        ]
        num_own = len(sequences)
        places_now = torch.tensor(places, device=self.device)
        last_ids = self._flat_ids.index_select(0, places_now - 1)
        is_own = [int(row < num_own) for row in range(len(slots))]
        return _Batch(
            slots=torch.tensor(slots, device=self.device),
            positions=torch.tensor(positions, device=self.device),
            advance=torch.tensor(is_own, device=self.device),
            last_ids=last_ids,
            own_last_ids=last_ids[:num_own],
            places=places_now[:num_own].clone(),
            sampling=RowSampling.from_params([each.params for each in sequences], self.device),
        )

    def _uniforms_of(self, sequence: Sequence) -> Tensor:
        """One number in [0, 1) for each new token, float64 [num_new]."""
        first = sequence.start_token + sequence.num_prefix
        positions = torch.arange(first, first + sequence.num_new)
        samples = torch.full_like(positions, sequence.sample)
        return sequence.noise.uniform(sequence.level, samples, positions).to(self.device)

    def _to_device(self, codes: NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(codes, dtype=np.int64)).to(self.device)


def _slot_of(sequence: Sequence) -> int:
    if sequence.slot is None:
        raise SamplingError(f"sequence {sequence.id} has no slot: it is {sequence.status}")
    return sequence.slot
