"""Steps of priors of the released sizes, with random weights, wherever there is room for them."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.engine_steps import EngineRun, our_run
from bench.full_size import FULL_SIZE, fits, full_size_priors, peak_bytes, watch_peak
from bench.machine import Machine
from bench.pairs_of_priors import PriorPair
from bench.step_figures import summary
from bench.stepping import their_step_times
from bench.their_full_size import their_prior
from bench.ways import Way
from jukebox_core.models.placed_priors import prior_needs
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level

COMPANY_SLOTS = 8
"""Slots of the engine in which one song alone is drawn, to know what company would cost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullPlan:
    """What is measured: tokens of each row, ours and theirs (0: theirs are left out)."""

    batches: Sequence[int]
    num_tokens: int
    precisions: Sequence[str]
    ways: Sequence[Way]
    their_tokens: int = 0


def measure_full(machine: Machine, plan: FullPlan) -> list[dict[str, Any]]:
    """A row for each precision, prior, batch and way to compute a step."""
    device = torch.device(machine.device)
    return [
        row
        for precision in plan.precisions
        for name, prior in full_size_priors(device, precision)
        for row in _measure_prior(machine, plan, precision, name, prior)
    ]


def _measure_prior(
    machine: Machine, plan: FullPlan, precision: str, name: str, prior: JukeboxPrior
) -> Iterator[dict[str, Any]]:
    device = torch.device(machine.device)
    ours = PriorPair(name=name, theirs=None, ours=prior)
    found = []
    for num_rows in plan.batches:
        if not fits(prior, num_rows):
            print(f"{name}: a cache of {num_rows} rows does not fit")
            continue
        for way in plan.ways:
            found.append(_measure_way(machine, plan, ours, num_rows, way))
    if plan.their_tokens:
        theirs = their_prior(name, prior.config, device, prior.compute_dtype)
        pair = PriorPair(name=name, theirs=theirs, ours=prior)
        beside = {rows: _their_step_sec(pair, rows, plan) for rows in {r["batch"] for r in found}}
        for row in found:
            row |= _beside_theirs(row, beside[row["batch"]])
    yield from ({**row, "precision": precision} for row in found)


def _measure_way(
    machine: Machine, plan: FullPlan, pair: PriorPair, num_rows: int, way: Way
) -> dict[str, Any]:
    prior, device = pair.ours, torch.device(machine.device)
    watch_peak(device)
    run = our_run(
        prior,
        pair.labels(num_rows),
        pair.upper_codes(num_rows),
        # Rows begin one after the other, and those that have begun go on meanwhile.
        min(num_rows + plan.num_tokens, prior.config.context_tokens),
        backend=way.backend,
        **way.engine_options(device),
    )
    peak = peak_bytes(device)
    needs = prior_needs(prior.config, prior.compute_dtype, int8_weights=prior.has_int8_weights)
    return {
        **summary(machine, pair.name, prior, num_rows, [run.step_times]),
        "step": way.name,
        "warm_up_seconds": round(run.warm_up_sec, 4),
        **_captures(run, way),
        "begin_ms": round(1e3 * statistics.median(run.begin_sec), 2),
        "planned_mb": round(needs.total_bytes(num_rows) / 1e6, 3),
        "peak_mb": None if peak is None else round(peak / 1e6, 1),
    }


def _captures(run: EngineRun, way: Way) -> dict[str, Any]:
    """How many graphs there were, and why not, if they were wanted and not used."""
    if run.graphs is None:
        reason = "there are no graphs on this device" if way.is_captured else None
        return {"graphs": 0, "capture_seconds": None, "no_graphs_because": reason}
    return {
        "graphs": run.graphs.num_captured,
        "capture_seconds": round(run.graphs.capture_sec, 3),
        "no_graphs_because": run.graphs.reason_against,
    }


def _their_step_sec(pair: PriorPair, num_rows: int, plan: FullPlan) -> float | None:
    """None where there is no memory for so many rows of theirs."""
    try:
        return statistics.median(their_step_times(pair, num_rows, plan.their_tokens))
    except torch.OutOfMemoryError:
        return None


def _beside_theirs(row: dict[str, Any], their_sec: float | None) -> dict[str, Any]:
    if their_sec is None:
        return {"transformers_step_ms": None, "times_transformers": None}
    return {
        "transformers_tokens_per_sec": round(row["batch"] / their_sec, 1),
        "transformers_step_ms": round(1e3 * their_sec, 3),
        "times_transformers": round(1e3 * their_sec / row["step_ms"], 2),
    }


def music_rates(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds of music per second of drawing with every batch, precision and way, by top prior.

    All songs of a batch at the same level, one level after the other; without what windows begin
    with, which `bench.minute` counts.
    """
    steps = {(r["prior"], r["batch"], r["precision"], r["step"]): r["tokens_per_sec"] for r in rows}
    found = []
    for (name, batch, precision, step), top_rate in steps.items():
        below = steps.get(("upsampler", batch, precision, step))
        model = FULL_SIZE[name][0] if name in FULL_SIZE else None
        if name == "upsampler" or below is None or model is None:
            continue
        time_base = released_config(model).time_base
        spent = time_base.tokens_per_second(Level.TOP) / top_rate + sum(
            time_base.tokens_per_second(level) / below for level in (Level.MIDDLE, Level.BOTTOM)
        )
        found.append(
            {
                "model": model,
                "batch": batch,
                "precision": precision,
                "step": step,
                "music_seconds_per_second": float(f"{1.0 / spent:.4g}"),
            }
        )
    return found


def company_costs(machine: Machine, plan: FullPlan) -> list[dict[str, Any]]:
    """What it costs a song alone that it is the same in any company: steps of all rows, always.

    One row in an engine of several slots, with `deterministic` and without. On a CPU it costs
    nothing that could be switched off.
    """
    device = torch.device(machine.device)
    if device.type != "cuda":
        return []
    way = plan.ways[-1]
    found = []
    for name, prior in full_size_priors(device, plan.precisions[0]):
        pair = PriorPair(name=name, theirs=None, ours=prior)
        step_ms = {}
        for wanted in (True, False):
            run = our_run(
                prior,
                pair.labels(1),
                pair.upper_codes(1),
                plan.num_tokens,
                backend=way.backend,
                max_rows=COMPANY_SLOTS,
                deterministic=wanted,
                **way.engine_options(device),
            )
            step_ms[wanted] = round(1e3 * run.step_sec, 4)
        found.append(
            {
                "prior": name,
                "step": way.name,
                "precision": plan.precisions[0],
                "slots": COMPANY_SLOTS,
                "deterministic_step_ms": step_ms[True],
                "free_step_ms": step_ms[False],
            }
        )
    return found
