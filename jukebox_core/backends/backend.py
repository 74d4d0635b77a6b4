"""What computes the tokens of one prior: the interface, and what backends share."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from jukebox_core.backends.batch import Batch, SlotMemory
from jukebox_core.backends.choose import Target
from jukebox_core.backends.step_buffers import BufferSet
from jukebox_core.config import JukeboxConfig
from jukebox_core.prior import Conditioning, JukeboxPrior


class Backend(ABC):
    """Computes one prior in the memory of its slots, which other backends may work in as well.

    A backend that computes one step at a time has `decode` alone. One that `uses_cores` of the host
    samples many tokens in a call, for several priors together, and has `parts` and `run_parts`.

    Whatever it is, its numbers are those of the reference (`torch.py`) up to rounding, and
    `proof.py` lets nothing else pass.

    Args:
        prior: its weights may move, and are found again.
        memory: of this prior.
    """

    is_on_request_only: ClassVar[bool] = False
    """Whether nobody gets it who has not asked for it, not even for a song that it began."""
    uses_cores: bool = False
    is_capturable: bool = False
    """Whether a step consists of kernels alone, see `graphs/`."""
    largest_difference: ClassVar[dict[torch.dtype, float]] = {
        torch.float32: 1e-4,
        torch.float16: 0.03,
        torch.bfloat16: 0.2,
    }
    """Between the logits of any row and those of the reference, as a share of those (root of the
    mean square), by compute dtype. A wrong place or a lost bias makes most of 1 of it."""

    def __init__(self, prior: JukeboxPrior, memory: SlotMemory) -> None:
        self.prior, self.memory = prior, memory
        self.buffers = BufferSet(memory)
        self.kind: type[Backend] = type(self)
        """What has `run_parts` for those of several priors."""

    @classmethod
    def unavailable_because(cls, target: Target) -> str | None:
        """Why it cannot compute a prior at `target`, as a sentence; None if it can."""
        return None

    @classmethod
    def unsuited_because(cls, config: JukeboxConfig) -> str | None:
        """Why it cannot compute this model anywhere, as a sentence; None if it can."""
        return None

    @classmethod
    def is_automatic(cls, config: JukeboxConfig) -> bool:
        """Whether `auto` takes it for a model where it can be used."""
        return False

    @property
    def rounding(self) -> float:
        """What may lie between its logits and those of the reference, see `largest_difference`."""
        return self.largest_difference[self.prior.compute_dtype]

    def proof_key(self, num_rows: int) -> Hashable:
        """What it has to prove once: the same for all steps that are computed by the same code."""
        return None

    def prefill(self, codes: Tensor, conditioning: Conditioning, slots: Tensor) -> Tensor:
        """Begin windows, see `JukeboxPrior.prefill`. May be repeated."""
        return self.prior.prefill(codes, conditioning, self.memory.cache, slots)

    @abstractmethod
    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """Logits of one more token of each row, see `JukeboxPrior.decode`. May be repeated."""

    @property
    def samples_several(self) -> bool:
        """Whether `sample` samples several tokens in less time than one after the other."""
        return self.uses_cores

    def sample(self, batch: Batch, num_steps: int) -> int:
        """Sample up to `num_steps` tokens of each row of `batch` into the memory.

        Returns how many, at least one; if this raises, none is, and it may be tried again, for some
        of the rows or all, after `forget`.
        """
        if self.uses_cores:
            self.kind.run_parts(self.parts(batch, num_steps, 1), 1)
            return num_steps
        num_rows = max(batch.min_rows, len(batch.key))
        # One and no more: what several write over, taking them again would read.
        self.buffers.holding(batch, num_rows).step(self.decode)
        return 1

    def parts(self, batch: Batch, num_steps: int, num_parts: int) -> list[Any]:
        """What `sample` would sample, for `run_parts`, in at most `num_parts` parts."""
        raise NotImplementedError

    @staticmethod
    def run_parts(parts: Sequence[Any], num_threads: int) -> list[float]:
        """Sample the tokens of all parts, of any priors; the seconds that each took.

        Raises:
            MemoryError: then nothing is sampled.
        """
        raise NotImplementedError

    def forget(self) -> None:
        """Every batch has to be loaded anew: a window began or left, or a step failed."""
        self.buffers.forget()

    def release(self, reason: str) -> bool:
        """Free what it can do without from now on; False if there was nothing any more."""
        return False

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free what it holds; used again, it makes that anew."""
