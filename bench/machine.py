"""What a machine can do at most: its name, how fast it reads memory, how fast it multiplies."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

Clock = Callable[[], float]
"""Seconds since any moment: of the wall, or of what the thread had of the processor."""

_BIG_BYTES = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a measurement was made, and its limits, measured in the same run."""

    name: str
    device: str
    num_threads: int
    memory_bytes_per_sec: float
    flop_per_sec: float


def measure_machine(device: torch.device, *, clock: Clock = time.perf_counter) -> Machine:
    """Measure the limits of `device` as this process uses it (threads, clock, neighbours).

    By `clock`, as the steps that are set beside them.
    """
    return Machine(
        name=device_name(device),
        device=str(device),
        num_threads=torch.get_num_threads(),
        memory_bytes_per_sec=read_bytes_per_sec(_BIG_BYTES, device, clock=clock),
        flop_per_sec=_flop_per_sec(device, clock),
    )


def device_name(device: torch.device) -> str:
    """The model name of the GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def cpu_name() -> str:
    """The model name that /proc/cpuinfo gives."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def read_bytes_per_sec(
    num_bytes: int, device: torch.device, *, clock: Clock = time.perf_counter
) -> float:
    """How fast `num_bytes` are read again and again: from a cache, if they fit into one."""
    numbers = torch.ones(num_bytes // 4, device=device)
    repeats = max(2**27 // num_bytes, 1)
    read = _seconds(lambda: [numbers.sum() for _ in range(repeats)], device, clock)
    return num_bytes * repeats / read


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _flop_per_sec(device: torch.device, clock: Clock) -> float:
    is_cuda = device.type == "cuda"
    size, dtype = (8192, torch.float16) if is_cuda else (768, torch.float32)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _seconds(lambda: matrix @ matrix, device, clock)


def _seconds(run: Callable[[], object], device: torch.device, clock: Clock) -> float:
    seconds = []
    for _ in range(9):
        wait_for(device)
        start = clock()
        run()
        wait_for(device)
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])
