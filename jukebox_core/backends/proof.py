"""A backend is used only where it has agreed with the reference.

Code for a device is compiled where it runs, for one that nobody has tried before. So the first step
of each kind is computed twice, from the same state; when it cannot be computed, or its logits
differ by more than rounding, a warning says so once, and the prior goes on with the reference. No
song is lost by it.
"""

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import Batch
from jukebox_core.backends.memory import is_out_of_memory
from jukebox_core.errors import SamplingError
from jukebox_core.prior import Conditioning

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some steps left.

    logits   float32 [B, V], of the last step of the rows that sample
    sampled  int64 [rows, n], ids and where the rows stand; None where only logits are computed
    """

    logits: Tensor
    sampled: Tensor | None = None

    def require_agreement(self, reference: "Outcome", largest: float) -> None:
        """Waits for the device.

        Args:
            reference: of the same steps from the same state.
            largest: difference in any row, as a share of the reference (root of the mean square).

        Raises:
            SamplingError: other ids were sampled, or the logits differ by more.
        """
        if self.sampled is not None and reference.sampled is not None:
            num_other = int((self.sampled != reference.sampled).sum())
            if num_other:
                raise SamplingError(
                    f"{num_other} of {self.sampled.numel()} ids and positions differ from those of "
                    "the reference"
                )
        wanted = reference.logits
        difference = ((self.logits - wanted).norm(dim=1) / wanted.norm(dim=1)).max().item()
        # Not a number is not below either.
        if not difference <= largest:
            raise SamplingError(f"logits differ by {difference:.2g}, and {largest} is rounding")


class Proven(Backend):
    """What `candidate` computes where it has agreed with `reference`, which is used otherwise.

    The first step of each kind waits for the device, and cannot be captured.
    """

    def __init__(self, candidate: Backend, reference: Backend, *, name: str) -> None:
        super().__init__(candidate.prior, candidate.memory)
        self.candidate, self._reference, self._name = candidate, reference, name
        self._proven: set[Hashable] = set()
        self.reason_against: str | None = None
        self.kind = candidate.kind
        self.uses_cores = candidate.uses_cores
        self.is_capturable = candidate.is_capturable

    def prefill(self, codes: Tensor, conditioning: Conditioning, slots: Tensor) -> Tensor:
        """See `Backend.prefill`."""
        return self._checked(
            ("prefill", self.candidate.proof_key(0)),
            lambda backend: backend.prefill(codes, conditioning, slots),
        )

    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """See `Backend.decode`. Raises SamplingError if a step is captured and was not tried."""
        return self._checked(
            ("decode", self.candidate.proof_key(len(ids))),
            lambda backend: backend.decode(ids, positions, slots),
        )

    def sample(self, batch: Batch, num_steps: int) -> int:
        """See `Backend.sample`."""
        if self.uses_cores:
            self._prove(batch)
        return super().sample(batch, num_steps)

    def parts(self, batch: Batch, num_steps: int, num_parts: int) -> list[Any]:
        """See `Backend.parts`. Raises SamplingError if it has just not agreed: use `sample`."""
        self._prove(batch)
        if not self.uses_cores:
            raise SamplingError(f"the {self._name} backend was given up: {self.reason_against}")
        return self.candidate.parts(batch, num_steps, num_parts)

    def _prove(self, batch: Batch) -> None:
        rows = batch.rows()
        if ("decode", self.candidate.proof_key(len(rows))) in self._proven:
            return
        slots = torch.tensor([row.slot for row in rows], device=self.memory.ids.device)
        positions = torch.tensor([row.position for row in rows], device=slots.device)
        self.decode(self.memory.ids[slots, positions - 1], positions, slots)

    def _checked(self, key: Hashable, compute: Callable[[Backend], Tensor]) -> Tensor:
        if self.reason_against is not None:
            return compute(self._reference)
        if key in self._proven:
            return compute(self.candidate)
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise SamplingError(f"a step of the {self._name} backend is captured and was not tried")
        wanted = compute(self._reference)
        try:
            # Last, so that the cache holds what its next steps expect.
            found = compute(self.candidate)
            Outcome(found).require_agreement(Outcome(wanted), self.candidate.rounding)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, torch.AcceleratorError):
                raise
            self._give_up(f"{type(error).__name__}: {error}")
            # Once more: the candidate may have written keys and values.
            return compute(self._reference)
        self._proven.add(key)
        return found

    def _give_up(self, reason: str) -> None:
        self.reason_against = reason
        self.uses_cores = False
        level = self.prior.config.level.label
        log.warning(
            "going on without the %s backend: %s", self._name, reason, extra={"level": level}
        )
