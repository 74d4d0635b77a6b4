"""The Triton backend: decode steps with few launches per layer, for CUDA; off unless asked for."""

from collections.abc import Hashable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.choose import Target, reason_against_scaling
from jukebox_core.backends.triton.kernels.tiles import padded_rows
from jukebox_core.config import JukeboxConfig
from jukebox_core.prior import JukeboxPrior

if TYPE_CHECKING:
    from jukebox_core.backends.triton.stack import TritonStack

_MIN_CAPABILITY = (8, 0)


@cache
def reason_against_kernels() -> str | None:
    """Why this machine cannot run them, as a sentence; None if it can."""
    if find_spec("triton") is None:
        return "the triton backend needs Triton, which comes with torch for CUDA"
    if not torch.cuda.is_available():
        return "the triton backend needs a CUDA device"
    if torch.cuda.get_device_capability() < _MIN_CAPABILITY:
        return "the triton backend needs a CUDA device of compute capability 8.0 or more"
    return None


class TritonBackend(Backend):
    """Windows begin in torch; of a step, embedding and logits are computed there as well."""

    is_on_request_only = True
    is_capturable = True

    def __init__(self, prior: JukeboxPrior, memory: SlotMemory) -> None:
        super().__init__(prior, memory)
        self._stack: TritonStack | None = None

    @classmethod
    def unavailable_because(cls, target: Target) -> str | None:
        """It is for weights that stay on a CUDA device."""
        if target.device_type != "cuda" or not target.weights_stay:
            return "the triton backend is for weights that stay on a CUDA device"
        return reason_against_kernels()

    @classmethod
    def unsuited_because(cls, config: JukeboxConfig) -> str | None:
        """Residual branches are added as they are."""
        return reason_against_scaling("triton", config)

    def proof_key(self, num_rows: int) -> Hashable:
        """Kernels are compiled for a number of rows; and once more if weights move."""
        weight = self.prior.transformer.stack()[0].mlp.input.weight
        return padded_rows(num_rows), weight.data_ptr()

    @torch.inference_mode()
    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """See `Backend.decode`. Raises ConfigError for weights that it cannot read."""
        x, added, sequence_positions = self.prior.embed_step(
            ids, positions, self.memory.cache, slots
        )
        states = self._stack_now().decode(x, sequence_positions, slots)
        return self.prior.logits_of(states, added)

    def _stack_now(self) -> "TritonStack":
        # Imported here: Triton is not everywhere, and decides then whether it interprets.
        from jukebox_core.backends.triton.stack import TritonStack

        if self._stack is None or not self._stack.serves(self.prior.transformer):
            self._stack = TritonStack(self.prior.transformer, self.memory.cache)
        return self._stack
