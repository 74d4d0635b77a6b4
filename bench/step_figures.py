"""What the steps of some windows come to, as one row of a table."""

import statistics
import time
from typing import Any

import torch

from bench.floor import floor_sec, step_work
from bench.machine import Clock, Machine
from jukebox_core.prior import JukeboxPrior


def summary(
    machine: Machine,
    name: str,
    prior: JukeboxPrior,
    num_rows: int,
    windows: list[list[float]],
    *,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """What steps took, from the seconds of every token of each window, beside their floor."""
    step_sec = statistics.median(statistics.median(times) for times in windows)
    work = step_work(prior, num_rows)
    floor = floor_sec(work, torch.device(machine.device), clock=clock)
    return {
        "prior": name,
        "step": "torch",
        "width": prior.config.transformer.width,
        "layers": prior.config.transformer.num_layers,
        "batch": num_rows,
        "dtype": str(prior.compute_dtype).removeprefix("torch."),
        "tokens_per_sec": round(num_rows / step_sec, 1),
        "step_ms": round(1e3 * step_sec, 3),
        "floor_ms": round(1e3 * floor, 3),
        "floor_share": float(f"{floor / step_sec:.3g}"),
        "weight_mb": round(work.weight_bytes / 1e6, 1),
        "gflop_per_sec": round(work.flop / step_sec / 1e9, 1),
        "last_over_first_tenth": drift(windows),
    }


def drift(windows: list[list[float]]) -> float:
    """Cost of a token in the last tenth of a window over that in the first: 1 is flat."""
    tenth = max(len(windows[0]) // 10, 1)
    return round(
        statistics.median(
            statistics.median(times[-tenth:]) / statistics.median(times[:tenth])
            for times in windows
        ),
        3,
    )
