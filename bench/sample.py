"""Tokens per second of each kind of prior, beside transformers and beside the machine's limits.

See `bench/README.md`. `python -m bench.sample --help`, from the root of the repository.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import transformers

from bench.engine_steps import our_step_times
from bench.full_steps import FullPlan, company_costs, measure_full, music_rates
from bench.kernel_boundary import kernel_boundary
from bench.machine import Clock, Machine, measure_machine
from bench.pairs_of_priors import PriorPair, Size, prior_pairs
from bench.precisions import FP32, PRECISIONS, in_precision, steps_of
from bench.step_figures import drift, summary
from bench.stepping import their_step_times
from bench.ways import way_of, ways_on
from jukebox_core.prior import JukeboxPrior

_SIZES = (Size(width=256), Size(width=512))
_QUICK_SIZES = (Size(width=64, rows=8, block_tokens=8, num_lyrics=16, num_codes=128),)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    clock = time.thread_time if options.clock == "thread" else time.perf_counter
    machine = measure_machine(device, clock=clock)
    figures: dict[str, Any] = {}
    if options.full:
        plan = FullPlan(
            batches=options.batch or [1, 8, 32, 128],
            num_tokens=options.tokens or 256,
            precisions=options.precision or ["fp16"],
            ways=[way_of(name) for name in options.steps] or list(ways_on(device)),
            their_tokens=options.their_tokens,
        )
        rows = measure_full(machine, plan)
        figures = {
            "music": music_rates(rows),
            "company": company_costs(machine, plan),
            "kernel_boundary": [kernel_boundary(device)],
        }
    else:
        sizes = _QUICK_SIZES if options.quick else [s for s in _SIZES if s.width in options.width]
        batches = options.batch or ([1, 4] if options.quick else [1, 4, 16])
        repeats = 1 if options.quick else options.repeats
        rows = measure_pairs(
            machine,
            sizes,
            batches,
            repeats,
            options.tokens,
            options.precision or [FP32],
            clock=clock,
        )
    report(machine, rows, figures)


def measure_pairs(
    machine: Machine,
    sizes: Iterable[Size],
    batches: Sequence[int],
    repeats: int,
    num_tokens: int | None,
    precisions: Sequence[str] = (FP32,),
    *,
    clock: Clock = time.perf_counter,
) -> list[dict[str, Any]]:
    """Windows of both libraries in turn (A B A B), for each prior and batch size."""
    return [
        row
        for size in sizes
        for pair in prior_pairs(size)
        for ours in [{name: in_precision(pair.ours, name) for name in precisions}]
        for num_rows in batches
        for row in _measure_pair(
            machine, pair, ours, num_rows, repeats, num_tokens or size.context_tokens, clock
        )
    ]


def _measure_pair(
    machine: Machine,
    pair: PriorPair,
    ours: Mapping[str, JukeboxPrior],
    num_rows: int,
    repeats: int,
    num_tokens: int,
    clock: Clock,
) -> list[dict[str, Any]]:
    """One row for each of our precisions and steps; all stand beside the same windows of theirs.

    `ours` is the prior of the pair in several precisions; theirs is fp32 always.
    """
    labels, upper_codes = pair.labels(num_rows), pair.upper_codes(num_rows)
    windows: dict[tuple[str, str], list[list[float]]] = {
        (precision, step): [] for precision in ours for step in steps_of(precision)
    }
    their_windows: list[list[float]] = []
    for _ in range(repeats):
        for (precision, step), done in windows.items():
            prior = ours[precision]
            done.append(
                our_step_times(prior, labels, upper_codes, num_tokens, clock=clock, backend=step)
            )
        their_windows.append(their_step_times(pair, num_rows, num_tokens, clock=clock))
    # The median of a window is what a step costs when no neighbour takes the core away.
    theirs = [statistics.median(times) for times in their_windows]
    return [
        {
            **summary(machine, pair.name, ours[precision], num_rows, done, clock=clock),
            "step": step,
            "precision": precision,
            "transformers_tokens_per_sec": round(num_rows / statistics.median(theirs), 1),
            "transformers_step_ms": round(1e3 * statistics.median(theirs), 3),
            "transformers_last_over_first_tenth": drift(their_windows),
            "times_transformers": round(
                statistics.median(
                    their_sec / statistics.median(times)
                    for their_sec, times in zip(theirs, done, strict=True)
                ),
                2,
            ),
        }
        for (precision, step), done in windows.items()
    ]


def report(machine: Machine, rows: list[dict[str, Any]], figures: Mapping[str, Any]) -> None:
    """Print what was measured, for people and, in the last line, for programs."""
    print(
        f"{machine.name} ({machine.device}, {machine.num_threads} threads): reads "
        f"{machine.memory_bytes_per_sec / 1e9:.0f} GB/s, {machine.flop_per_sec / 1e9:.0f} GFLOP/s"
    )
    columns = [key for key in rows[0] if key not in {"layers", "dtype", "weight_mb"}]
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[key]) for key in columns) + " |")
    for name, found in figures.items():
        print(f"{name}: " + "; ".join(str(each) for each in found))
    print(
        json.dumps(
            {
                "machine": machine.name,
                "device": machine.device,
                "threads": machine.num_threads,
                "memory_bytes_per_sec": round(machine.memory_bytes_per_sec),
                "flop_per_sec": round(machine.flop_per_sec),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "rows": rows,
                **figures,
            }
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny priors; for a test")
    parser.add_argument("--full", action="store_true", help="released sizes, random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--steps", nargs="+", default=[], help="of --full: torch, 'torch graph' ..."
    )
    parser.add_argument(
        "--their-tokens", type=int, default=200, help="of --full, by transformers; 0: none"
    )
    parser.add_argument("--clock", choices=["wall", "thread"], default="wall", help="of a step")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, help="of ours; fp32, with --full fp16"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="windows per library")
    parser.add_argument("--tokens", type=int, help="per row; default: a whole window")
    parser.add_argument("--width", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--batch", type=int, nargs="+")
    return parser


if __name__ == "__main__":
    main()
