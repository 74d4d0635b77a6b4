"""The native backend: tokens in C on the cores of the host, in float32."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import Batch, SlotMemory
from jukebox_core.backends.choose import Target, reason_against_scaling
from jukebox_core.backends.native.library import reason_against_compiling
from jukebox_core.backends.native.native_prior import (
    NativeGroup,
    NativePrior,
    outer_weights,
    sample_tokens,
)
from jukebox_core.backends.native.structures import NativeRow
from jukebox_core.config import JukeboxConfig
from jukebox_core.prior import Conditioning, JukeboxPrior

_OF_LEVELS = 0.01
"""Some 3e-4 were measured in 12 layers of width 1,920, where a row has the fewest levels."""


class NativeBackend(Backend):
    """Needs no padding and counts on in no buffers: it reads each row in the memory of its slot.

    A row is the same to the bit in any batch, on any number of threads.
    """

    uses_cores = True

    def __init__(self, prior: JukeboxPrior, memory: SlotMemory) -> None:
        super().__init__(prior, memory)
        self._addresses: NativePrior | None = None

    @classmethod
    def unavailable_because(cls, target: Target) -> str | None:
        """It is for float32 on a CPU with a C compiler."""
        if target.device_type != "cpu" or not target.is_float32 or not target.weights_stay:
            return "the native backend is for float32 on a CPU"
        return reason_against_compiling()

    @classmethod
    def unsuited_because(cls, config: JukeboxConfig) -> str | None:
        """Residual branches are added as they are."""
        return reason_against_scaling("native", config)

    @classmethod
    def is_automatic(cls, config: JukeboxConfig) -> bool:
        """It was measured to be several times faster for small models and for large ones."""
        return True

    @property
    def rounding(self) -> float:
        """Beside int8 weights, activations are rounded to thousands of levels, see `products.c`."""
        return (
            max(super().rounding, _OF_LEVELS) if self.prior.has_int8_weights else super().rounding
        )

    def proof_key(self, num_rows: int) -> Hashable:
        """The prior, as long as its weights stay where they are."""
        return tuple(weight.data_ptr() for weight in outer_weights(self.prior))

    @torch.inference_mode()
    def prefill(self, codes: Tensor, conditioning: Conditioning, slots: Tensor) -> Tensor:
        """See `Backend.prefill`. Raises ConfigError for weights that it cannot read."""
        x, _ = self.prior.embed_prefix(codes, conditioning, self.memory.cache, slots)
        self.prior.transformer.write_lyrics(conditioning.lyric_states, self.memory.cache, slots)
        return self._native().prefill(x, slots)

    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """See `Backend.decode`. Raises ConfigError for weights that it cannot read."""
        return self._native().logits(ids, positions, slots)

    def parts(self, batch: Batch, num_steps: int, num_parts: int) -> list[NativeGroup]:
        """See `Backend.parts`."""
        rows = [NativeRow.of(row.slot, row.position, row.params) for row in batch.rows()]
        memory = self.memory
        group = NativeGroup(self._native(), rows, num_steps, memory.ids, memory.uniforms)
        return group.parts(num_parts)

    @staticmethod
    def run_parts(parts: Sequence[NativeGroup], num_threads: int) -> list[float]:
        """See `Backend.run_parts`."""
        return sample_tokens(parts, num_threads=num_threads)

    def _native(self) -> NativePrior:
        native = self._addresses
        if native is None or not native.serves(self.prior):
            native = self._addresses = NativePrior(self.prior, self.memory.cache)
        return native
