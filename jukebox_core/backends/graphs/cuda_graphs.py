"""Captures steps as CUDA graphs. The only part of this that a CPU cannot run.

`tests/backends/tape.py` stands in for it there.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.backends.graphs.step_graphs import Capturer, Replay


class CudaCapturer:
    """CUDA graphs with one pool of memory: they never run at the same time.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _capture_stream(device)
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], Tensor]) -> Tensor:
        """Load kernels and make workspaces, which must not happen in a capture."""
        with torch.cuda.device(self._device):
            present = torch.cuda.current_stream(self._device)
            self._stream.wait_stream(present)
            with torch.cuda.stream(self._stream):
                output = run()
            present.wait_stream(self._stream)
            self.settle()
        return output

    def capture(self, run: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        """Capture and do not run. Raises what CUDA refuses.

        Torch may keep the memory of a capture that failed until the process ends (pytorch/pytorch
        pull request 190308); nothing is captured again with this pool then.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            present = torch.cuda.current_stream(self._device)
            try:
                # Other threads of the process may go on: they read how much memory is free.
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ):
                    output = run()
            finally:
                # A capture that fails at its end leaves its stream in place.
                torch.cuda.set_stream(present)
        return graph.replay, output

    def settle(self) -> None:
        """Wait for the device. Raises `torch.AcceleratorError` if it is broken."""
        torch.cuda.synchronize(self._device)


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all: libraries keep a workspace for each, and must have it before a capture."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def capturer_maker(
    device: torch.device, wanted: GraphWish | str, *, weights_stay: bool
) -> Callable[[], Capturer] | None:
    """What an engine on `device` captures steps with; None if it does not.

    Args:
        device: only CUDA devices have graphs.
        wanted: see `GraphWish`.
        weights_stay: on the device while their level is drawn. A graph cannot carry them over.
    """
    if GraphWish(wanted) is GraphWish.OFF or device.type != "cuda" or not weights_stay:
        return None
    return partial(CudaCapturer, device)
