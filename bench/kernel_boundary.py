"""What it costs to go from one kernel to the next: launched by the host, or replayed in a graph."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.machine import wait_for
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.backends.graphs.step_graphs import Capturer

_FEW, _MANY = 200, 2200
_REPEATS = 9


def kernel_boundary(device: torch.device) -> dict[str, Any]:
    """`boundary_cost` with the graphs of `device`, if it has any."""
    make_capturer = capturer_maker(device, GraphWish.AUTO, weights_stay=True)
    return boundary_cost(device, None if make_capturer is None else make_capturer())


def boundary_cost(
    device: torch.device, capturer: Capturer | None, *, few: int = _FEW, many: int = _MANY
) -> dict[str, Any]:
    """Microseconds for one more kernel that adds 1 to one number, each after the one before.

    From chains of two lengths, so that what a chain costs once is not in it. `capturer` is None
    where there are no graphs.
    """
    number = torch.zeros(1, device=device)

    def chain(num_kernels: int) -> Tensor:
        for _ in range(num_kernels):
            number.add_(1.0)
        return number

    launched = {n: _seconds(lambda n=n: chain(n), device) for n in (few, many)}
    found: dict[str, Any] = {"launched_us": _slope_us(launched)}
    if capturer is None:
        return {**found, "replayed_us": None, "left_out": "there are no graphs on this device"}
    replayed = {}
    for num_kernels in (few, many):
        capturer.warm_up(lambda n=num_kernels: chain(n))
        replay, _ = capturer.capture(lambda n=num_kernels: chain(n))
        replayed[num_kernels] = _seconds(replay, device)
    return {**found, "replayed_us": _slope_us(replayed)}


def _slope_us(seconds: dict[int, float]) -> float:
    (few, less), (many, more) = seconds.items()
    return float(f"{1e6 * (more - less) / (many - few):.4g}")


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(_REPEATS):
        wait_for(device)
        start = time.perf_counter()
        run()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
