"""How many cards do so many songs a day take, what do they cost, and what is their best split?

Everything here is a prediction from the inputs of `bench/fleet/inputs.py`.
"""

import argparse
import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.fleet.inputs import CARDS, LENGTHS, Card, Demand, Efficiency, Operation
from bench.fleet.planner import (
    LEVELS,
    LevelSpeed,
    PoolPlan,
    SimulatedSong,
    mean_busy_sec,
    rows_that_fit,
    songs_per_sec,
    speed_of,
)
from bench.fleet.simulation import Fleet, arrivals
from bench.report import Figures, significant

SPLITS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "all levels on every card": (LEVELS,),
    "top | middle and bottom": (("top",), ("middle", "bottom")),
    "top | middle | bottom": (("top",), ("middle",), ("bottom",)),
}
_MAX_ROWS = 128
_MAX_SIMULATED_SONGS = 120_000
"""Of more, the busiest hour is simulated, and the day follows from the cost of a song."""
_SPOT_MEAN_SEC = 4 * 3600.0
_DAY_SEC = 86_400.0
_NEARLY = 1.05


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which card and model, and how many songs."""
    parser.add_argument("--card", choices=CARDS, default="h200")
    parser.add_argument("--model", choices=("1b_lyrics", "5b_lyrics"), default="5b_lyrics")
    parser.add_argument("--songs", type=float, nargs="+", default=[1e3, 1e5, 1e6], help="a day")
    parser.add_argument("--usd-per-hour", type=float, help="of a card, instead of the table's")
    parser.add_argument("--hours", type=float, default=24.0, help="that are simulated")
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> Figures:
    """All answers for one kind of card and one model."""
    card = CARDS[options.card]
    if options.usd_per_hour is not None:
        card = replace(card, usd_per_hour=options.usd_per_hour)
    volumes = [_volume(_Question(card, options.model, options), number) for number in options.songs]
    found = {
        "card": card.name,
        "usd_per_hour": card.usd_per_hour,
        "spot_usd_per_hour": card.spot_usd_per_hour,
        "model": options.model,
        "cards": [_card_row(each, options.model) for each in CARDS.values()],
        "curves": _row_curves(card, options.model),
        "volumes": volumes,
    }
    return {"predict": found}


def _volume(question: "_Question", number: float) -> Figures:
    """Each split of the cards; of the best, rows as needed and spot cards as well."""
    demand = Demand(songs_per_day=number, lengths=LENGTHS)
    splits = {name: _answer(replace(question, split=name), demand) for name in SPLITS}
    best = best_split(splits)
    asked = replace(question, split=best)
    as_needed = replace(asked, operation=Operation(is_deterministic=False))
    spot = replace(asked, operation=Operation(spot_mean_sec=_SPOT_MEAN_SEC))
    return {
        "songs_per_day": number,
        "best_split": best,
        "splits": splits,
        "not_deterministic": _answer(as_needed, demand),
        "spot": _answer(spot, demand),
    }


def best_split(splits: Mapping[str, Figures]) -> str:
    """The cheapest; of those that cost nearly as little, the one whose songs are done soonest."""
    least_usd = min(float(each["usd_per_song"]) for each in splits.values())
    cheap = {
        name: each["song_sec"].get("p50", 0.0)
        for name, each in splits.items()
        if float(each["usd_per_song"]) <= _NEARLY * least_usd
    }
    return min(cheap, key=cheap.__getitem__)


@dataclass(frozen=True, slots=True)
class _Question:
    """Which fleet is asked about."""

    card: Card
    model: str
    options: argparse.Namespace
    split: str = "all levels on every card"
    operation: Operation = field(default_factory=Operation)


def _answer(question: _Question, demand: Demand) -> Figures:
    """Simulate a day, or the busiest hour of it."""
    is_day = demand.songs_per_day <= _MAX_SIMULATED_SONGS
    span_sec = question.options.hours * 3600.0 if is_day else 3600.0
    begin_sec = 0.0 if is_day else _DAY_SEC / 2 - 1800.0
    plans = list(_plans(question, demand, begin_sec))
    fleet = Fleet(plans, seed=question.options.seed)
    rng = random.Random(question.options.seed)
    fleet.run(arrivals(question.model, demand, span_sec, rng, begin=begin_sec), until=span_sec)
    card_sec = 0.0
    for pool in fleet.pools:
        pool.close()
        card_sec += pool.figures.card_seconds
    card = question.card
    is_spot = question.operation.spot_mean_sec is not None
    usd_per_hour = card.spot_usd_per_hour if is_spot else card.usd_per_hour
    usd_per_song = card_sec / 3600.0 * usd_per_hour / max(fleet.num_arrived, 1)
    return {
        "simulated_hours": span_sec / 3600.0,
        "songs": fleet.num_arrived,
        "rows": [next(iter(plan.speeds.values())).max_rows for plan in plans],
        "songs_at_once": [plan.max_songs for plan in plans],
        "mean_cards": [significant(p.figures.card_seconds / span_sec, 3) for p in fleet.pools],
        "most_cards": [pool.figures.most_cards for pool in fleet.pools],
        "preempted": sum(pool.figures.num_preempted for pool in fleet.pools),
        "usd_per_song": significant(usd_per_song, 3),
        "usd_per_day": round(usd_per_song * demand.songs_per_day),
        "queued_sec": _quantiles([song.queued_sec for song in fleet.done]),
        "song_sec": _quantiles([_total_sec(song) for song in fleet.done]),
    }


def _plans(question: _Question, demand: Demand, begin_sec: float) -> Iterator[PoolPlan]:
    """One pool for each part of the split, with as many cards as its first moment needs."""
    for levels in SPLITS[question.split]:
        efficiency = Efficiency()
        num_rows = min(rows_that_fit(question.card, question.model, levels, efficiency), _MAX_ROWS)
        if num_rows < 1:
            raise ValueError(
                f"the levels {', '.join(levels)} of {question.model} do not fit into the memory of "
                f"one {question.card.name}"
            )
        operation = replace(question.operation, min_cards=1)
        speeds = {
            level: speed_of(question.card, question.model, level, num_rows, efficiency)
            for level in levels
        }
        busy = sum(mean_busy_sec(question.model, demand, speeds).values())
        at_once = songs_per_sec(demand, begin_sec) * busy
        yield PoolPlan(
            name="+".join(levels),
            levels=levels,
            speeds=speeds,
            max_songs=round(num_rows * (operation.songs_per_row if len(levels) > 1 else 1.0)),
            render_sec=efficiency.render_sec if "bottom" in levels else 0.0,
            operation=operation,
            first_cards=max(math.ceil(1.05 * at_once), 1),
        )


def _card_row(card: Card, model: str) -> Figures:
    """What a mean song takes of a full card, where all levels fit into its memory."""
    efficiency = Efficiency()
    num_rows = min(rows_that_fit(card, model, LEVELS, efficiency), _MAX_ROWS)
    row: Figures = {"card": card.name, "usd_per_hour": card.usd_per_hour, "rows": num_rows}
    if num_rows < 1:
        return row
    speeds = {level: speed_of(card, model, level, num_rows, efficiency) for level in LEVELS}
    busy = mean_busy_sec(model, Demand(songs_per_day=1.0, lengths=LENGTHS), speeds)
    total = sum(busy.values())
    return row | {
        "card_sec_per_song": {level: significant(seconds, 3) for level, seconds in busy.items()},
        "songs_per_card_and_day": round(_DAY_SEC / total),
        "usd_per_song": significant(total / 3600.0 * card.usd_per_hour, 3),
    }


def _row_curves(card: Card, model: str) -> list[Figures]:
    """Step and tokens per second of each level by rows."""
    curves = []
    for level in ("top", "bottom"):
        speed: LevelSpeed = speed_of(card, model, level, _MAX_ROWS, Efficiency())
        for num_rows in (1, 2, 4, 8, 16, 32, 64, 128):
            step_sec = speed.step_sec[num_rows - 1]
            curves.append(
                {
                    "level": level,
                    "rows": num_rows,
                    "step_ms": significant(1e3 * step_sec, 3),
                    "tokens_per_sec": round(num_rows / step_sec),
                }
            )
    return curves


def _total_sec(song: SimulatedSong) -> float:
    return (song.done_at or 0.0) - song.arrived_at


def _quantiles(values: Sequence[float]) -> Figures:
    if len(values) < 20:
        return {}
    cuts = statistics.quantiles(values, n=20)
    return {"p50": significant(cuts[9], 3), "p95": significant(cuts[18], 3)}
