"""Runs one prior for many sequences; holds their memory, decides nothing."""

from collections.abc import Callable
from collections.abc import Sequence as Collection
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import Batch, Padding, Row, SlotMemory
from jukebox_core.backends.choose import REFERENCE
from jukebox_core.backends.graphs.step_graphs import Capturer, GraphBackend
from jukebox_core.backends.make import make_backend
from jukebox_core.engine.sequence import Sequence, check_sequence
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.song import SamplingParams

_ANY = SamplingParams()


class ModelRunner:
    """One prior with the memory of `num_slots` rows, and the backends that compute it.

    Sampled ids stay on the device, in one row of `context_tokens` for each slot, and are copied to
    the host once, when a sequence ends: no step waits for the device.

    A step always computes at least `min_rows` rows (as far as there are slots, and memory). Matrix
    products add up in another order when there are very few rows, so without the padding a song
    would depend on whether it has company (measured on the CPU: the last bits move below 4 rows).
    Backends that need no padding take none.

    A step is many small operations, and on a CPU each costs as much as a small product. So what a
    batch needs is put together when it is formed, and only counted on from step to step.

    Args:
        prior: on `device`.
        num_slots: sequences at the same time.
        min_rows: see above.
        device: where the prior is.
        backend: computes the sequences that name none.
        make_capturer: makes what captures the steps of one backend (see `backends/graphs/`); by
            default nothing is captured.
    """

    def __init__(
        self,
        prior: JukeboxPrior,
        *,
        num_slots: int,
        min_rows: int,
        device: torch.device,
        backend: str = REFERENCE,
        make_capturer: Callable[[], Capturer] | None = None,
    ) -> None:
        self.prior = prior
        self.num_slots = num_slots
        self.min_rows = min(min_rows, num_slots)
        self.device = device
        self.memory = SlotMemory(prior, num_slots, device)
        self._default, self._make_capturer = backend, make_capturer
        self._backends: dict[str, Backend] = {}
        self._held: dict[int, Sequence] = {}

    def backend_of(self, sequences: Collection[Sequence]) -> Backend:
        """What computes these: all are computed by the same.

        Raises:
            ConfigError: there is no such backend.
        """
        name = sequences[0].backend or self._default
        if name not in self._backends:
            self._backends[name] = make_backend(name, self.prior, self.memory, self._make_capturer)
        return self._backends[name]

    @property
    def row_bytes(self) -> int:
        """Memory of one window that is full."""
        return self.memory.cache.num_bytes // self.num_slots

    @property
    def cache_bytes(self) -> int:
        """Memory of all slots, or where it is taken by need, of those that are held."""
        is_by_need = self.device.type == "cpu"
        return self.row_bytes * (len(self._held) if is_by_need else self.num_slots)

    @property
    def graphs(self) -> GraphBackend | None:
        """What captures steps, of the first backend that was used; None if nothing does."""
        every = self._backends.values()
        return next((each for each in every if isinstance(each, GraphBackend)), None)

    @torch.inference_mode()
    def prefill(self, sequence: Sequence) -> None:
        """Read the prefix of `sequence` into its slot and sample its first new token.

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
        logits = self.backend_of([sequence]).prefill(prefix, conditioning, slots)
        uniforms = self._uniforms_of(sequence)
        sampling = RowSampling.from_params([sequence.params], self.device)
        self.memory.ids[slot, :num_prefix] = self.prior.codes_to_ids(prefix[0])
        self.memory.ids[slot, num_prefix] = draw(logits, uniforms[:1], sampling)[0]
        self.memory.uniforms[slot, num_prefix : num_prefix + sequence.num_new] = uniforms
        self._held[slot] = sequence
        self._forget_batches()

    @torch.inference_mode()
    def decode(self, sequences: Collection[Sequence], *, max_rows: int, num_steps: int = 1) -> int:
        """Sample up to `num_steps` tokens of each of `sequences`, wherever they stand.

        At most `max_rows` rows are computed together, padding included; there must not be more
        sequences, all must be of one backend, and each must have that many tokens left. Returns
        how many were sampled, at least one; the caller adds them to `num_sampled`. If this raises,
        none were.
        """
        try:
            return self.backend_of(sequences).sample(self._batch(sequences, max_rows), num_steps)
        except Exception:
            self._forget_batches()  # they may have counted steps that are to be taken again
            raise

    @torch.inference_mode()
    def parts(self, sequences: Collection[Sequence], num_steps: int, num_parts: int) -> list[Any]:
        """What `decode` would sample on cores of the host, see `Backend.parts`."""
        batch = self._batch(sequences, self.num_slots)
        return self.backend_of(sequences).parts(batch, num_steps, num_parts)

    @torch.inference_mode()
    def new_codes(self, sequence: Sequence) -> NDArray[np.int64]:
        """The codes sampled so far, int64 [num_drawn]; waits for the device."""
        start = sequence.num_prefix
        ids = self.memory.ids[_slot_of(sequence), start : start + sequence.num_sampled]
        codes: NDArray[np.int64] = self.prior.to_codes(ids).cpu().numpy()
        return codes

    def free(self, slot: int) -> None:
        """Forget the sequence in `slot`; until the next prefill it only serves as padding."""
        self._held.pop(slot, None)
        # The padding of the steps before has written into slots that nobody holds, too.
        self.memory.release([slot] if self._held else range(self.num_slots))
        self._forget_batches()

    def release(self, reason: str) -> bool:
        """Free what backends can do without from now on; False if there was nothing any more."""
        return any([backend.release(reason) for backend in self._backends.values()])

    def close(self) -> None:
        """Free what backends hold."""
        for backend in self._backends.values():
            backend.close()

    def _forget_batches(self) -> None:
        for backend in self._backends.values():
            backend.forget()

    def _batch(self, sequences: Collection[Sequence], max_rows: int) -> Batch:
        return Batch(
            key=tuple([sequence.id for sequence in sequences]),
            rows=partial(_rows_of, sequences),
            padding=partial(self._padding, sequences),
            min_rows=min(self.min_rows, max_rows),
            max_rows=max_rows,
        )

    def _padding(self, sequences: Collection[Sequence], num_missing: int) -> Padding:
        """Other slots, the free ones first; those stand at position 1.

        One of a sequence that steps in another batch may serve as padding, too: what its own step
        will write, or has written and not yet read, is written once more. It moves between two
        steps of this batch, so such a batch has to be formed for every step.
        """
        own = [_slot_of(sequence) for sequence in sequences]
        others = [slot for slot in range(self.num_slots) if slot not in own]
        others = sorted(others, key=lambda slot: slot in self._held)[:num_missing]
        rows = []
        for slot in others:
            held = self._held.get(slot)
            rows.append(Row(slot, 1, _ANY) if held is None else _row_of(held))
        return Padding(rows, is_lasting=not any(slot in self._held for slot in others))

    def _uniforms_of(self, sequence: Sequence) -> Tensor:
        """One number in [0, 1) for each new token, float64 [num_new]."""
        first = sequence.start_token + sequence.num_prefix
        positions = torch.arange(first, first + sequence.num_new)
        samples = torch.full_like(positions, sequence.sample)
        return sequence.noise.uniform(sequence.level, samples, positions).to(self.device)

    def _to_device(self, codes: NDArray[np.int64]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(codes, dtype=np.int64)).to(self.device)


def _rows_of(sequences: Collection[Sequence]) -> list[Row]:
    return [_row_of(sequence) for sequence in sequences]


def _row_of(sequence: Sequence) -> Row:
    position = sequence.num_prefix + sequence.num_sampled
    return Row(_slot_of(sequence), position, sequence.params)


def _slot_of(sequence: Sequence) -> int:
    if sequence.slot is None:
        raise SamplingError(f"sequence {sequence.id} has no slot: it is {sequence.status}")
    return sequence.slot
