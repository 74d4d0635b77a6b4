"""Puts a backend together: what computes, its proof, and the graphs that capture its steps."""

from collections.abc import Callable

from jukebox_core.backends.backend import Backend
from jukebox_core.backends.batch import SlotMemory
from jukebox_core.backends.choose import REFERENCE, backend_class
from jukebox_core.backends.graphs.step_graphs import Capturer, GraphBackend
from jukebox_core.backends.proof import Proven
from jukebox_core.prior import JukeboxPrior

MakeCapturer = Callable[[], Capturer]


def make_backend(
    name: str, prior: JukeboxPrior, memory: SlotMemory, make_capturer: MakeCapturer | None = None
) -> Backend:
    """The backend called `name` for a prior in `memory`.

    Args:
        name: see `choose.py`.
        prior: of any dtype on any device.
        memory: of this prior.
        make_capturer: makes what captures steps; None captures nothing.

    Raises:
        ConfigError: there is no backend of that name.
    """
    backend = backend_class(name)(prior, memory)
    if name != REFERENCE:
        backend = Proven(backend, backend_class(REFERENCE)(prior, memory), name=name)
    if make_capturer is None or not backend.is_capturable:
        return backend
    return GraphBackend(backend, make_capturer())
