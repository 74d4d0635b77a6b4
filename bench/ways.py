"""How the engine computes a step on a device: with which code, and captured or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from jukebox_core.backends.choose import BACKENDS, REFERENCE
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish

_GRAPH = " graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A backend, and whether its steps are captured once and replayed."""

    backend: str
    is_captured: bool = False

    @property
    def name(self) -> str:
        """`torch`, `torch graph` ..."""
        return self.backend + (_GRAPH if self.is_captured else "")

    def engine_options(self, device: torch.device) -> Mapping[str, Any]:
        """What `Engine` is to be given for it."""
        if not self.is_captured:
            return {}
        return {"make_capturer": capturer_maker(device, GraphWish.AUTO, weights_stay=True)}


def way_of(name: str) -> Way:
    """The way of that name. Raises ValueError for a backend that there is not."""
    backend = name.removesuffix(_GRAPH)
    if backend not in BACKENDS:
        raise ValueError(f"{backend!r} is not a backend: {', '.join(BACKENDS)}")
    return Way(backend=backend, is_captured=name.endswith(_GRAPH))


def ways_on(device: torch.device) -> tuple[Way, ...]:
    """Those worth measuring for large priors: on a CPU torch alone, on a GPU with graphs, too, and
    with the kernels of this project where there are any.
    """
    reference = Way(backend=REFERENCE)
    if device.type != "cuda":
        return (reference,)
    captured = [Way(backend=name, is_captured=True) for name in (REFERENCE, "triton")]
    return (reference, *captured)
