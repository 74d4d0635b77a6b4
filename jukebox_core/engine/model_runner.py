"""Runs one prior for many sequences; holds all tensors, decides nothing."""

from collections.abc import Sequence as Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.engine.sequence import Sequence, check_sequence
from jukebox_core.errors import SamplingError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.sampler import RowSampling, draw
from jukebox_core.step_kind import StepKind


@dataclass(frozen=True, slots=True)
class _Batch:
    """What stays the same from step to step while nobody joins or leaves.

    `slots` int64 [B] are those of the sequences, `padded_slots` int64 [max(B, min_rows)] add free
    ones.
    """

    slots: Tensor
    padded_slots: Tensor
    sampling: RowSampling


class ModelRunner:
    """One prior with its cache of `num_slots` rows.

    Drawn ids stay on the device, in one row of `context_tokens` for each slot, and are copied to
    the host once, when a sequence ends: no step waits for the device.

    A step always computes at least `min_rows` rows (as far as there are slots, and memory). Matrix
    products add up in another order when there are very few rows, so without the padding a song
    would depend on whether it has company (measured on the CPU: the last bits move below 4 rows).
    The native step needs no padding: its rows are the same to the bit in any number.

    A step that fails for want of memory can be taken again, for some of its rows or all: until its
    last line it only writes keys and values, at places that taking it again writes once more.
    """

    def __init__(
        self, prior: JukeboxPrior, *, num_slots: int, min_rows: int, device: torch.device
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
            # Place in the window of the token that each slot draws next.
            self._positions = torch.ones(num_slots, dtype=torch.int64, device=device)
        self._batches: dict[tuple[str, ...], _Batch] = {}

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
        logits = self.prior.prefill(prefix, conditioning, self._cache, slots)
        uniforms = self._uniforms_of(sequence)
        sampling = RowSampling.from_params([sequence.params], self.device)
        self._ids[slot, :num_prefix] = self.prior.codes_to_ids(prefix[0])
        self._ids[slot, num_prefix] = draw(logits, uniforms[:1], sampling)[0]
        self._uniforms[slot, num_prefix : num_prefix + sequence.num_new] = uniforms
        self._positions[slot] = num_prefix + 1
        self._batches.clear()

    @torch.inference_mode()
    def decode(self, sequences: Collection[Sequence], *, max_rows: int) -> None:
        """Draw one more token for each of `sequences`; they may stand at different places.

        At most `max_rows` rows are computed together, padding included; there must not be more
        sequences, and all must be of one step kind.
        """
        step = sequences[0].step or self.prior.step
        min_rows = 1 if step is StepKind.NATIVE else min(self.min_rows, max_rows)
        batch = self._batch_of(sequences, min_rows)
        slots, padded = batch.slots, batch.padded_slots
        positions = self._positions[padded]
        last_ids = self._ids[padded, positions - 1]
        logits = self.prior.decode(last_ids, positions, self._cache, padded, step=step)
        positions = positions[: len(slots)]
        uniforms = self._uniforms[slots, positions]
        self._ids[slots, positions] = draw(logits[: len(slots)], uniforms, batch.sampling)
        self._positions[slots] = positions + 1

    @torch.inference_mode()
    def new_codes(self, sequence: Sequence) -> NDArray[np.int64]:
        """The codes drawn so far, int64 [num_drawn]; waits for the device."""
        start = sequence.num_prefix
        ids = self._ids[_slot_of(sequence), start : start + sequence.num_drawn]
        codes: NDArray[np.int64] = self.prior.to_codes(ids).cpu().numpy()
        return codes

    @torch.inference_mode()
    def free(self, slot: int) -> None:
        """Forget the sequence in `slot`; until the next prefill it only serves as padding."""
        # Padding draws at place 1, and a window that ended stands behind the last one.
        self._positions[slot] = 1
        self._batches.clear()

    def _batch_of(self, sequences: Collection[Sequence], min_rows: int) -> _Batch:
        ids = tuple(sequence.id for sequence in sequences)
        batch = self._batches.get(ids)
        if batch is None or len(batch.padded_slots) != max(min_rows, len(ids)):
            slots = [_slot_of(sequence) for sequence in sequences]
            # A slot of a sequence that steps in another batch may serve as padding, too: what its
            # own step will write, or has written and not yet read, is written once more.
            others = [slot for slot in range(self.num_slots) if slot not in slots]
            padded = slots + others[: max(min_rows - len(slots), 0)]
            batch = _Batch(
                torch.tensor(slots, device=self.device),
                torch.tensor(padded, device=self.device),
                RowSampling.from_params([sequence.params for sequence in sequences], self.device),
            )
            self._batches[ids] = batch
        return batch

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
