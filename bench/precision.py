"""What reduced precision costs and gains at each level: `python -m bench.precision MODEL`.

See `bench/README.md`.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.engine_steps import our_step_times
from bench.machine import device_name
from bench.precisions import FP32, PRECISIONS, in_precision, prior_bytes, stack_bytes, steps_of
from bench.true_windows import Windows, true_windows
from jukebox_core.model import JukeboxModel
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE

_WINDOWS_AT_A_TIME = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print two tables for each level, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = JukeboxModel.from_pretrained(options.model, dtype=torch.float32)
    windows = true_windows(model, options.songs)
    figures: dict[str, Any] = {
        "model": model.config.name,
        "machine": device_name(torch.device("cpu")),
        "threads": options.threads,
        "songs": options.songs,
        "distances": [],
        "speeds": [],
    }
    for level in [each for each in COARSE_TO_FINE if each.label in options.levels]:
        prior = model.prior(level)
        others = {name: in_precision(prior, name) for name in PRECISIONS}
        found = distances(others, windows[level])
        figures["distances"] += found
        if not options.json:
            print_table(found)
        found = speeds(others, windows[level], options.batch, options.repeats, options.tokens)
        figures["speeds"] += found
        if not options.json:
            print_table(found)
    print(json.dumps(figures))


@torch.inference_mode()
def distances(priors: Mapping[str, JukeboxPrior], windows: Windows) -> list[dict[str, Any]]:
    """How far each precision is from fp32, teacher-forced: every place has read the true codes.

    `priors` are one prior in several precisions, fp32 among them.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in priors}
    for batch in _batches(windows):
        exact = _log2_probabilities(priors[FP32], batch)
        ids = priors[FP32].codes_to_ids(batch.codes)[..., None]
        for name, prior in priors.items():
            logs = exact if name == FP32 else _log2_probabilities(prior, batch)
            figures = (
                (exact.exp2() * (exact - logs)).sum(dim=-1),
                (exact.argmax(dim=-1) != logs.argmax(dim=-1)).double(),
                -logs.gather(-1, ids)[..., 0],
            )
            found[name].append(torch.stack(figures).flatten(1))
    tokens = {name: torch.cat(parts, dim=1) for name, parts in found.items()}
    return [
        {
            "level": prior.config.level.label,
            "precision": name,
            "tokens": tokens[name].shape[1],
            "kl_bits": _rounded(tokens[name][0].mean()),
            "kl_bits_99th": _rounded(tokens[name][0].quantile(0.99)),
            "argmax_differs": _rounded(tokens[name][1].mean()),
            "bits_per_token": _rounded(tokens[name][2].mean()),
            "rise_bits": _rounded((tokens[name][2] - tokens[FP32][2]).mean()),
            "stack_mb": round(stack_bytes(prior) / 1e6, 2),
            "prior_mb": round(prior_bytes(prior) / 1e6, 2),
        }
        for name, prior in priors.items()
    ]


def _batches(windows: Windows) -> Iterator[Windows]:
    for first in range(0, len(windows.codes), _WINDOWS_AT_A_TIME):
        yield windows.rows(slice(first, first + _WINDOWS_AT_A_TIME))


def _log2_probabilities(prior: JukeboxPrior, windows: Windows) -> Tensor:
    """float64 [N, T, V] of the music."""
    output = prior(windows.codes, windows.labels, windows.upper_codes)
    logits = output.logits[:, prior.config.num_prefix_tokens :].double()
    logs: Tensor = logits.log_softmax(dim=-1)
    return logs / math.log(2.0)


def _rounded(value: Tensor) -> float:
    """To three digits that count."""
    return float(f"{value.item():.3g}")


def speeds(
    priors: Mapping[str, JukeboxPrior],
    windows: Windows,
    batches: Sequence[int],
    repeats: int,
    num_tokens: int,
) -> list[dict[str, Any]]:
    """Tokens per second of each precision and step; all take turns.

    One thread is timed by what it gets of the processor, so that neighbours disturb less.
    `times_fp32` is the median of the ratios to the neighbouring windows of fp32 with the same step.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    ways = [(name, step) for name in priors for step in steps_of(name)]
    rows = []
    for num_rows in batches:
        chosen = windows.rows([row % len(windows.codes) for row in range(num_rows)])
        step_sec: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for name, step in ways:
                times = our_step_times(
                    priors[name],
                    chosen.labels,
                    chosen.upper_codes,
                    num_tokens,
                    clock=clock,
                    backend=step,
                )
                step_sec[name, step].append(statistics.median(times))
        rows += [
            {
                "level": priors[FP32].config.level.label,
                "batch": num_rows,
                "precision": name,
                "step": step,
                "step_ms": round(1e3 * statistics.median(times), 3),
                "tokens_per_sec": round(num_rows / statistics.median(times)),
                "times_fp32": _times(step_sec[FP32, step], times),
                "times_plain_fp32": _times(step_sec[FP32, "torch"], times),
            }
            for (name, step), times in step_sec.items()
        ]
    return rows


def _times(exact: Sequence[float], reduced: Sequence[float]) -> float:
    return round(statistics.median(e / r for e, r in zip(exact, reduced, strict=True)), 2)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """For people, and as soon as it is known."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model directory, or mini")
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    labels = [level.label for level in COARSE_TO_FINE]
    parser.add_argument("--levels", nargs="+", choices=labels, default=labels)
    parser.add_argument("--songs", type=int, default=12, help="each gives a window to every level")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--tokens", type=int, default=100, help="per row, to measure the speed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
