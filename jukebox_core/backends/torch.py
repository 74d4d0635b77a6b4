"""The reference: the prior itself, in torch, on every device and in every precision."""

from torch import Tensor

from jukebox_core.backends.backend import Backend
from jukebox_core.config import JukeboxConfig


class TorchBackend(Backend):
    """What all others are compared with."""

    is_capturable = True

    @classmethod
    def is_automatic(cls, config: JukeboxConfig) -> bool:
        """Where no other is."""
        return True

    def decode(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """See `Backend.decode`."""
        return self.prior.decode(ids, positions, self.memory.cache, slots)
