"""A prior as one backend computes it, with the methods of a prior that tests call."""

from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.choose import backend_class


class OnBackend:
    """Everything that is not computed by the backend is the prior's."""

    def __init__(self, prior, name):
        self.prior, self.name, self.backend = prior, name, None

    def allocate_cache(self, num_slots):
        memory = SlotMemory(self.prior, num_slots, self.prior.position_embedding.device)
        # Tests write to it in their own ways.
        memory.cache = self.prior.allocate_cache(num_slots)
        self.backend = backend_class(self.name)(self.prior, memory)
        return memory.cache

    def prefill(self, codes, conditioning, cache, slots):
        assert cache is self.backend.memory.cache
        return self.backend.prefill(codes, conditioning, slots)

    def decode(self, ids, positions, cache, slots):
        assert cache is self.backend.memory.cache
        return self.backend.decode(ids, positions, slots)

    def __getattr__(self, name):
        return getattr(self.prior, name)
