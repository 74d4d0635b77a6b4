"""What can this machine do at most: bytes read, multiplications, one more kernel?"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.linux import cpu_name
from bench.report import significant
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.backends.graphs.step_graphs import Capturer

Clock = Callable[[], float]
"""Seconds since any moment: of the wall, or of what the thread had of the processor."""

_CPU = torch.device("cpu")
_BIG_BYTES = 2**28
_CHAINS = (200, 2200)
"""Kernels in the two chains whose difference is the cost of one more."""
_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Ends with its parent, however that ends."""


@contextmanager
def busy_processes(number: int, *, nice: int = 0) -> Iterator[None]:
    """So many processes take a core each meanwhile, as far as `nice` and the others leave it."""
    command = ["nice", "-n", str(nice), sys.executable, "-S", "-c", _LOOP]
    loops = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def machine_limits(
    device: torch.device, *, clock: Clock = time.perf_counter, num_bytes: int = _BIG_BYTES
) -> dict[str, Any]:
    """What the device is, and its limits as this process uses it (threads, clock, neighbors)."""
    size, dtype = (8192, torch.float16) if device.type == "cuda" else (768, torch.float32)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    product_sec = median_seconds(lambda: matrix @ matrix, device, clock)
    return {
        **describe_machine(device),
        "memory_bytes_per_sec": round(read_bytes_per_sec(num_bytes, device, clock)),
        "flop_per_sec": round(2 * size**3 / product_sec),
    }


def describe_machine(device: torch.device = _CPU) -> dict[str, Any]:
    """Where a measurement was made; `threads` are those of torch."""
    return {
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def read_bytes_per_sec(
    num_bytes: int, device: torch.device, clock: Clock = time.perf_counter
) -> float:
    """How fast `num_bytes` are read again and again: from a cache, if they fit into one."""
    numbers = torch.ones(max(num_bytes // 4, 1), device=device)
    repeats = max(2**27 // num_bytes, 1)
    return (
        num_bytes
        * repeats
        / median_seconds(lambda: [numbers.sum() for _ in range(repeats)], device, clock)
    )


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(
    run: Callable[[], object],
    device: torch.device,
    clock: Clock = time.perf_counter,
    *,
    repeats: int = 8,
) -> float:
    """Of `repeats` runs after a first one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        wait_for(device)
        start = clock()
        run()
        wait_for(device)
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])


def kernel_boundary(device: torch.device) -> dict[str, Any]:
    """`boundary_cost` with the graphs of `device`, if it has any."""
    make_capturer = capturer_maker(device, GraphWish.AUTO, weights_stay=True)
    return boundary_cost(device, None if make_capturer is None else make_capturer())


def boundary_cost(
    device: torch.device, capturer: Capturer | None, chains: tuple[int, int] = _CHAINS
) -> dict[str, Any]:
    """Microseconds for one more kernel that adds 1 to one number, each after the one before.

    Launched by the host, and replayed in a graph (None where there are none): what a step of many
    small kernels cannot fall below. From chains of two lengths, so that what a chain costs once is
    not in it.
    """
    number = torch.zeros(1, device=device)

    def chain(num_kernels: int) -> Tensor:
        for _ in range(num_kernels):
            number.add_(1.0)
        return number

    def slope_us(runs: Sequence[Callable[[], object]]) -> float:
        less, more = (median_seconds(run, device) for run in runs)
        return significant(1e6 * (more - less) / (chains[1] - chains[0]))

    launched = [lambda length=length: chain(length) for length in chains]
    replays: list[Callable[[], object]] = []
    if capturer is not None:
        for run in launched:
            capturer.warm_up(run)
            replays.append(capturer.capture(run)[0])
    return {
        "launched_kernel_us": slope_us(launched),
        "replayed_kernel_us": slope_us(replays) if replays else None,
    }
