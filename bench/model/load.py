"""What does one prior of a model directory take to load and to step: memory, seconds, tokens/s?

The page cache decides how long loading takes. `--repeats` loads the file again and reads it beside
that, in turn, from the disk (cold) and from the page cache (warm).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.linux import evict, read_through, resident_memory_of
from bench.machine import wait_for
from bench.model import LABELS
from bench.report import Figures, significant
from jukebox_core.backends.choose import Target, choose_backend
from jukebox_core.checkpoints.load import load_prior_of, read_directory_config, stored_weights
from jukebox_core.checkpoints.native import prior_file
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from worker.device.speed import one_step


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which prior, and what it does."""
    parser.add_argument("directory", type=Path)
    parser.add_argument("--level", choices=LABELS, default="top")
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 8], help="none: no steps")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=0, help="loading beside reading, in turn")
    parser.add_argument("--device", default="cpu")


def measure(options: argparse.Namespace) -> Figures:
    """Load and step in float32 on a CPU, in the stored precision elsewhere."""
    level, device = Level.from_label(options.level), torch.device(options.device)
    dtype = torch.float32 if device.type == "cpu" else None
    target = Target(device_type=device.type, is_float32=dtype is not None)
    backend = choose_backend(read_directory_config(options.directory), target)
    before, started = _memory_mb(), time.perf_counter()
    prior = load_prior_of(options.directory, level, device=device, dtype=dtype)
    wait_for(device)
    load_sec, loaded = time.perf_counter() - started, _memory_mb()
    steps = {
        f"rows_{number}": _steps(one_step(prior, backend, number, device), number, options.steps)
        for number in options.rows
    }
    return {
        "model": options.directory.name,
        "level": options.level,
        "weights": stored_weights(options.directory),
        "weight_bytes": sum(tensor.nbytes for tensor in prior.state_dict().values()),
        "backend": backend,
        "load_seconds": round(load_sec, 3),
        "before_mb": before,
        "loaded_mb": loaded,
        "stepped_mb": _memory_mb(),
        **steps,
        **loading_rates(options.directory, level, device, options.repeats),
    }


def _steps(step: Callable[[], torch.Tensor], num_rows: int, num_steps: int) -> Figures:
    first_sec, *others = [_seconds_of(step) for _ in range(1 + num_steps)]
    step_sec = statistics.median(others)
    return {
        "first_step_seconds": round(first_sec, 3),
        "step_seconds": round(step_sec, 4),
        "tokens_per_second": round(num_rows / step_sec, 2),
    }


def loading_rates(directory: Path, level: Level, device: torch.device, repeats: int) -> Figures:
    """Gigabytes per second of a prior's file until every weight can be used, and of reading it."""
    file = directory / prior_file(level)
    rates: dict[str, list[float]] = {}
    for kind in ("cold", "warm") * repeats:
        for what in ("read", "load"):
            if kind == "cold":
                evict([file])
            started = time.perf_counter()
            if what == "read":
                read_through(file)
            else:
                _touch(load_prior_of(directory, level, device=device), device)
            rate = file.stat().st_size / 1e9 / (time.perf_counter() - started)
            rates.setdefault(f"{kind}_{what}", []).append(rate)
    medians = {kind: statistics.median(values) for kind, values in rates.items()}
    return {f"{kind}_gb_per_sec": significant(rate) for kind, rate in medians.items()} | {
        f"{kind}_share": significant(medians[f"{kind}_load"] / medians[f"{kind}_read"], 3)
        for kind in dict.fromkeys(each.partition("_")[0] for each in medians)
    }


def _touch(prior: JukeboxPrior, device: torch.device) -> None:
    """On the CPU weights are mapped, and would be read when first used."""
    for weight in prior.parameters() if device.type == "cpu" else ():
        weight.detach().view(torch.uint8).flatten()[::4096].sum()
    wait_for(device)


def _seconds_of(step: Callable[[], torch.Tensor]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _memory_mb() -> dict[str, int]:
    """Megabytes of this process, as Linux counts them: at most, now, its own, mapped files'."""
    return {name: size // 10**6 for name, size in resident_memory_of(os.getpid()).items()}
