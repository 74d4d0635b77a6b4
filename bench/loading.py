"""What does one prior of a model directory take to load and to step: memory, seconds, tokens/s?

`python -m bench.loading DIRECTORY [--level top]`; see `bench/README.md`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.machine import describe_machine, resident_memory_of, tell
from jukebox_core.backends.choose import Target, choose_backend
from jukebox_core.checkpoints.load import load_prior_of, read_directory_config, stored_weights
from jukebox_core.units import Level
from worker.device.speed import one_step

_CPU = torch.device("cpu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Load and step, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.loading", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--level", choices=[level.label for level in Level], default="top")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args(arguments)
    config = read_directory_config(options.directory)
    level = next(level for level in Level if level.label == options.level)
    backend = choose_backend(config, Target(device_type="cpu", is_float32=True))
    before = _memory_mb()
    started = time.perf_counter()
    prior = load_prior_of(options.directory, level, dtype=torch.float32)
    load_sec = time.perf_counter() - started
    loaded = _memory_mb()
    found = {}
    for num_rows in options.rows:
        step = one_step(prior, backend, num_rows, _CPU)
        first_sec, *others = [_seconds_of(step) for _ in range(1 + options.steps)]
        step_sec = statistics.median(others)
        found[f"rows_{num_rows}"] = {
            "first_step_seconds": round(first_sec, 3),
            "step_seconds": round(step_sec, 4),
            "tokens_per_second": round(num_rows / step_sec, 2),
        }
    tell(
        describe_machine(_CPU)
        | {
            "model": options.directory.name,
            "level": options.level,
            "weights": stored_weights(options.directory),
            "weight_bytes": sum(tensor.nbytes for tensor in prior.state_dict().values()),
            "backend": backend,
            "load_seconds": round(load_sec, 3),
            "before_mb": before,
            "loaded_mb": loaded,
            "stepped_mb": _memory_mb(),
        }
        | found
    )


def _seconds_of(step: Callable[[], torch.Tensor]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _memory_mb() -> dict[str, int]:
    """Megabytes of this process, as Linux counts them: at most, now, its own, mapped files'."""
    return {name: size // 10**6 for name, size in resident_memory_of(os.getpid()).items()}


if __name__ == "__main__":
    main()
