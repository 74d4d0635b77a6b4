"""A backend as somebody else would add it: a module of its own, and one line of `choose.py`."""

from jukebox_core.backends.backend import Backend


class ToyBackend(Backend):
    """The reference, with an error that a test may give it."""

    error = 0.0
    fault = None

    @classmethod
    def unavailable_because(cls, target):
        return None if target.device_type == "cpu" else "the toy backend is for a CPU"

    def decode(self, ids, positions, slots):
        if self.fault is not None:
            raise self.fault
        logits = self.prior.decode(ids, positions, self.memory.cache, slots)
        return logits + self.error * logits.roll(1, dims=1)


class SeveralAtOnce(ToyBackend):
    """Samples in parts, as one on cores of the host does."""

    uses_cores = True

    def parts(self, batch, num_steps, num_parts):
        return [(self, batch, num_steps)]

    @staticmethod
    def run_parts(parts, num_threads):
        for toy, batch, num_steps in parts:
            buffers = toy.buffers.holding(batch, max(batch.min_rows, len(batch.key)))
            for _ in range(num_steps):
                buffers.step(toy.decode)
            toy.forget()
        return [0.001 for _ in parts]
