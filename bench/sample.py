"""How many tokens per second does a prior sample, beside transformers and the floor of the machine?

`python -m bench.sample --help`; see `bench/README.md`.
"""

import argparse
import importlib
import importlib.metadata
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.machine import Clock, busy_processes, machine_limits
from bench.priors import (
    INT8,
    PRECISIONS,
    PRIORS,
    in_precision,
    random_prior,
    released_prior,
    small_prior,
)
from bench.report import print_table, tell
from bench.steps import EngineRun, Way, engine_run, last_over_first_tenth, summary, ways_on
from bench.their_priors import their_prior, their_step_times
from jukebox_core import JukeboxModel
from jukebox_core.backends.choose import BACKENDS
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    clock = time.thread_time if options.clock == "thread" else time.perf_counter
    with busy_processes(options.beside, nice=options.nice):
        rows = [
            {**row, "precision": precision}
            for precision in options.precision or ["fp16" if device.type == "cuda" else "fp32"]
            for name, prior in _priors(options, precision, device)
            for row in _measure_prior(options, name, prior, device, clock)
        ]
    print_table(rows)
    limits = machine_limits(device, clock=clock)
    tell(limits | {"transformers": importlib.metadata.version("transformers"), "rows": rows})


def _priors(
    options: argparse.Namespace, precision: str, device: torch.device
) -> Iterator[tuple[str, JukeboxPrior]]:
    """One after the other, so that only one has to fit."""
    if options.model is not None:
        model = JukeboxModel.from_pretrained(options.model, device=device, dtype=torch.float32)
        for level in COARSE_TO_FINE:
            yield level.label, in_precision(model.prior(level), precision)
        return
    for name in options.prior:
        for width in [None] if options.full else options.width:
            config = released_prior(name) if width is None else small_prior(name, width)
            yield name, random_prior(config, device, precision)


def _measure_prior(
    options: argparse.Namespace, name: str, prior: JukeboxPrior, device: torch.device, clock: Clock
) -> Iterator[dict[str, Any]]:
    """A row for each batch and way; all of a batch stand beside the same windows of theirs."""
    theirs = None
    if options.model is None and not options.alone:
        theirs = their_prior(name, prior.config, device, options.their_precision)
    num_tokens = options.tokens or prior.config.context_tokens
    for num_rows in options.batch:
        ways = [
            way
            for way in ways_on(prior, device)
            if options.backend is None or way.backend in options.backend
        ]
        runs: dict[Way, list[EngineRun]] = {way: [] for way in ways}
        their_windows: list[list[float]] = []
        for _ in range(options.repeats):
            for way, done in runs.items():
                done.append(engine_run(prior, num_rows, num_tokens, way=way, clock=clock))
            if theirs is not None:
                times = their_step_times(theirs, prior.config, num_rows, num_tokens, clock)
                their_windows.append(times)
        for way, done in runs.items():
            row = summary(name, prior, num_rows, way, done, clock)
            yield row | _beside_theirs(num_rows, [run.step_times for run in done], their_windows)


def _beside_theirs(
    num_rows: int, ours: list[list[float]], theirs: list[list[float]]
) -> dict[str, Any]:
    """The median of a window is what a step costs when no neighbor takes the core away."""
    if not theirs:
        return {}
    medians = [statistics.median(times) for times in theirs]
    ratios = [their / statistics.median(our) for their, our in zip(medians, ours, strict=True)]
    their_sec = statistics.median(medians)
    return {
        "transformers_tokens_per_sec": round(num_rows / their_sec, 1),
        "transformers_step_ms": round(1e3 * their_sec, 3),
        "transformers_last_over_first_tenth": last_over_first_tenth(theirs),
        "times_transformers": round(statistics.median(ratios), 2),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.sample", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, help="the levels of a model directory, or mini; alone")
    what.add_argument("--full", action="store_true", help="priors of released size")
    parser.add_argument("--prior", nargs="+", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--width", type=int, nargs="+", default=[256, 512], help="of small ones")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="fp32, on a GPU fp16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, help="per row; by default a whole window")
    parser.add_argument("--repeats", type=int, default=3, help="windows of each, in turn")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, help="by default all that can be")
    parser.add_argument(
        "--their-precision",
        choices=[each for each in PRECISIONS if each != INT8],
        help="of transformers, by default fp32 on a CPU and fp16 elsewhere",
    )
    parser.add_argument("--alone", action="store_true", help="without transformers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beside", type=int, default=0, help="so many busy processes")
    parser.add_argument("--nice", type=int, default=0, help="of those, from 0 to 19")
    parser.add_argument("--clock", choices=["wall", "thread"], default="wall", help="of a step")
    return parser


if __name__ == "__main__":
    main()
