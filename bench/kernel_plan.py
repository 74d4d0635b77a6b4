"""What one step of the fused kernels starts and reads, and what that should take: arithmetic."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bench.floor import positions_read
from jukebox_core.backends.triton.launches import launch_key, step_launches
from jukebox_core.backends.triton.stack import KERNEL_KINDS, Launch
from jukebox_core.config import JukeboxPriorConfig

# Kernels that read keys and values; all others read weights.
_ATTENTION = ("attend", "join_parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Of a device that has not been measured: an H200.

    Shares are what a kernel gets of the bandwidth of the memory while it reads.
    """

    boundary_us: float = 2.5
    bytes_per_sec: float = 4.3e12
    weight_share: float = 0.85
    attention_share: float = 0.6
    cache_bytes_per_sec: float = 5.5e12
    program_bytes_per_sec: float = 64e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedKernel:
    """All launches of a step that are compiled as one; figures of times are of one launch.

    `memory_bytes` come from the memory at least, `cache_bytes` are what programs read besides:
    the rows, which each of them needs whole. `predicted_us` knows the memory alone,
    `careful_us` also what the cache gives to all programs, and to one.
    """

    name: str
    kind: str
    launches: int
    programs: int
    memory_bytes: int
    cache_bytes: int
    floor_us: float
    predicted_us: float
    careful_us: float


def plan_kernels(
    config: JukeboxPriorConfig,
    *,
    num_rows: int,
    dtype: torch.dtype,
    is_int8: bool,
    given: Assumptions | None = None,
) -> list[PlannedKernel]:
    """The kernels of one step in the middle of a window, in the order of their first launch."""
    given = given or Assumptions()
    groups: dict[Any, list[Launch]] = {}
    launches = step_launches(config, num_rows=num_rows, dtype=dtype, is_int8=is_int8)
    for launch in launches:
        groups.setdefault(launch_key(launch), []).append(launch)
    return [_planned(group, config, num_rows, given) for group in groups.values()]


def table(kernels: Sequence[PlannedKernel]) -> list[dict[str, Any]]:
    """For the last line of a run."""
    return [asdict(kernel) for kernel in kernels]


def totals(kernels: Sequence[PlannedKernel], given: Assumptions | None = None) -> dict[str, Any]:
    """Of a whole step."""
    given = given or Assumptions()
    memory_bytes = sum(kernel.launches * kernel.memory_bytes for kernel in kernels)
    return {
        "launches": sum(kernel.launches for kernel in kernels),
        "memory_mb": round(memory_bytes / 1e6, 2),
        "floor_ms": round(1e3 * memory_bytes / given.bytes_per_sec, 3),
        "predicted_ms": round(sum(k.launches * k.predicted_us for k in kernels) / 1e3, 3),
        "careful_ms": round(sum(k.launches * k.careful_us for k in kernels) / 1e3, 3),
    }


def _planned(
    group: Sequence[Launch], config: JukeboxPriorConfig, num_rows: int, given: Assumptions
) -> PlannedKernel:
    launch = group[0]
    name = launch.kernel.__name__
    num_programs = 1
    for size in launch.grid:
        num_programs *= size
    memory_bytes = launch_bytes(launch, config, num_rows)
    share = given.attention_share if name in _ATTENTION else given.weight_share
    reading_us = 1e6 * memory_bytes / given.bytes_per_sec
    cache_bytes = _cache_bytes(launch, num_rows)
    all_bytes = memory_bytes + cache_bytes
    slowest_us = max(
        reading_us / share,
        1e6 * all_bytes / given.cache_bytes_per_sec,
        1e6 * all_bytes / num_programs / given.program_bytes_per_sec,
    )
    return PlannedKernel(
        name=name,
        kind=KERNEL_KINDS[launch.constants["KIND"]].value if "KIND" in launch.constants else "",
        launches=len(group),
        programs=num_programs,
        memory_bytes=memory_bytes,
        cache_bytes=cache_bytes,
        floor_us=round(reading_us, 3),
        predicted_us=round(given.boundary_us + reading_us / share, 3),
        careful_us=round(given.boundary_us + slowest_us, 3),
    )


def launch_bytes(launch: Launch, config: JukeboxPriorConfig, num_rows: int) -> int:
    """Weights, or keys and values in the mean over a window; what lies in the cache is not counted.

    The statistics of the first norm and the joining of parts read nothing else.
    """
    tensors = _tensors(launch)
    if "weight" in tensors:
        weight, is_int8 = tensors["weight"], launch.constants["IS_INT8"]
        scale_bytes = tensors["scale"].nbytes if is_int8 else 0
        return weight.nbytes + tensors["bias"].nbytes + scale_bytes
    if launch.kernel.__name__ == "attend":
        kind = KERNEL_KINDS[launch.constants["KIND"]]
        position_bytes = 2 * config.transformer.attention_width * tensors["strips"].itemsize
        return int(num_rows * positions_read(kind, config) * position_bytes)
    return 0


def _cache_bytes(launch: Launch, num_rows: int) -> int:
    """What the programs of a product read of the rows, all together."""
    tensors = _tensors(launch)
    if "weight" not in tensors:
        return 0
    inputs = tensors["inputs"] if "inputs" in tensors else tensors["x"]
    row_bytes = tensors["weight"].shape[0] * inputs.itemsize
    return num_rows * row_bytes * launch.grid[1]


def _tensors(launch: Launch) -> dict[str, Tensor]:
    named = zip(launch.kernel.arg_names, launch.arguments, strict=False)
    return {name: each for name, each in named if isinstance(each, Tensor)}
