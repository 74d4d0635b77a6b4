"""An engine for whoever generates one song in a process of its own, without a worker."""

import torch

from jukebox_core.engine.cuda_graphs import capturer_maker
from jukebox_core.engine.engine import Engine
from jukebox_core.engine.graph_plan import GraphWish
from jukebox_core.models.placed_priors import PlacedPriors
from jukebox_core.models.placement import Placement


def local_engine(priors: PlacedPriors, *, device: torch.device, max_rows: int) -> Engine:
    """Captures graphs where the device has them, as a worker does.

    Args:
        priors: of the model.
        device: where they are used.
        max_rows: rows of a level that step together.
    """
    return Engine(
        priors,
        max_rows=max_rows,
        device=device,
        one_level_at_a_time=priors.placement is Placement.ONE_AT_A_TIME,
        make_capturer=capturer_maker(
            device,
            GraphWish.AUTO,
            weights_stay=priors.placement is not Placement.OFFLOADED,
        ),
    )
