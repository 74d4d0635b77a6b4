"""How the engine computes a step on a device: with which code, and captured or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from jukebox_core.engine.cuda_graphs import capturer_maker
from jukebox_core.engine.graph_plan import GraphWish
from jukebox_core.step_kind import StepKind

_GRAPH = " graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A kind of step, and whether steps are captured once and replayed."""

    step: StepKind
    is_captured: bool = False

    @property
    def name(self) -> str:
        """`plain`, `plain graph` ..."""
        return self.step.value + (_GRAPH if self.is_captured else "")

    def engine_options(self, device: torch.device) -> Mapping[str, Any]:
        """What `Engine` is to be given for it."""
        if not self.is_captured:
            return {}
        return {"make_capturer": capturer_maker(device, GraphWish.AUTO, weights_stay=True)}


def way_of(name: str) -> Way:
    """The way of that name. Raises ValueError for a step that there is not."""
    return Way(step=StepKind(name.removesuffix(_GRAPH)), is_captured=name.endswith(_GRAPH))


def ways_on(device: torch.device) -> tuple[Way, ...]:
    """Those worth measuring for large priors: on a CPU torch alone, on a GPU with graphs, too, and
    with the kernels of this project where there are any.
    """
    plain = Way(step=StepKind.PLAIN)
    if device.type != "cuda":
        return (plain,)
    own = [Way(step=kind, is_captured=True) for kind in StepKind if kind.value == "fused"]
    return (plain, Way(step=StepKind.PLAIN, is_captured=True), *own)
