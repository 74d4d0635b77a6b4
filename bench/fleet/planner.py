"""Plans and arithmetic of fleets: steps, songs, pools and cards. No clock, no chance, no files."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.fleet.inputs import PRIOR_OF_LEVEL, PRIORS, Card, Demand, Efficiency, Operation
from jobs.record.request import JobRequest
from jobs.record.songs import plan_request
from jukebox_core.models.released import released_config

LEVELS = ("top", "middle", "bottom")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelWork:
    """What one level of one song takes: tokens to sample, in windows that first read a prefix."""

    num_tokens: int
    num_prefix: int
    num_windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSpeed:
    """How fast a worker samples one level.

    `step_sec[n - 1]` is the time of a step of n rows, which gives each of them a token, and
    `prefix_sec` what reading one token of a prefix takes, for which all rows wait.
    """

    step_sec: tuple[float, ...]
    prefix_sec: float

    @property
    def max_rows(self) -> int:
        """Songs that step together at most."""
        return len(self.step_sec)


@dataclass(slots=True, eq=False)
class SimulatedSong:
    """One song: its levels that are still to come, and what became of it."""

    arrived_at: float
    levels: deque[tuple[str, LevelWork]]
    waited_sec: float = 0.0
    """Until a worker first took it."""
    began_at: float | None = None
    queued_at: float = 0.0
    queued_sec: float = 0.0
    """In the queues of all its levels together."""
    done_at: float | None = None
    tokens_done: float = 0.0
    """Of the present level, kept when a worker died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """Workers alike: which levels they serve, how fast, for how many songs at once.

    `render_sec` a song keeps its place after the last level. Workers with a device each have None
    for `host`. Levels have turns for their songs (`turn_shares`), or, where a CPU computes them all
    in one call, turns of equal length.
    """

    name: str
    levels: tuple[str, ...]
    speeds: Mapping[str, LevelSpeed]
    max_songs: int
    render_sec: float
    operation: Operation
    host: "HostPlan | None" = None
    has_equal_turns: bool = False
    first_cards: int = 1
    """That serve when the simulation begins, if that is more than `operation.min_cards`."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Workers that share the cores of a machine.

    `slowdowns[n - 1]` is how many times as long everything takes on a worker while n of the host
    have songs; of more, all take as much longer as there are more. 1 at first. None for
    `num_workers`: all of the pool are on one host.
    """

    slowdowns: tuple[float, ...]
    num_workers: int | None = None

    def slowdown(self, num_busy: int) -> float:
        """Of each worker while so many have songs."""
        measured = len(self.slowdowns)
        if num_busy <= measured:
            return self.slowdowns[max(num_busy, 1) - 1]
        return self.slowdowns[-1] * num_busy / measured


@dataclass(slots=True)
class PoolFigures:
    """What a pool did."""

    card_seconds: float = 0.0
    most_cards: int = 0
    num_preempted: int = 0


@lru_cache(maxsize=256)
def song_work(model: str, seconds: float, *, is_draft: bool = False) -> Mapping[str, LevelWork]:
    """The levels of a song of a released model, planned as the service plans it."""
    config = released_config(model)
    longest_sec = max(seconds, 60.0)
    request = JobRequest.model_validate(
        {
            "mode": "ancestral",
            "model": model,
            "artist": "any",
            "genre": "any",
            "duration_seconds": seconds,
            "song_duration_seconds": longest_sec,
            "seed": 1,
            "levels": LEVELS[:1] if is_draft else LEVELS,
        }
    )
    plan = plan_request(request, config, duration_sec=seconds, prompt_tokens={}).plan
    return {
        level.label: LevelWork(
            num_tokens=sum(window.num_new for window in each.windows),
            num_prefix=sum(window.num_prefix for window in each.windows),
            num_windows=len(each.windows),
        )
        for level, each in plan.levels.items()
    }


def rows_that_fit(card: Card, model: str, levels: Sequence[str], efficiency: Efficiency) -> int:
    """Songs for which a card has room at each of these levels at once; 0 when weights do not fit.

    Every level has a cache for all songs of the worker.
    """
    priors = [PRIORS[PRIOR_OF_LEVEL[model][level]] for level in levels]
    room = card.memory_bytes * efficiency.memory_share - sum(p.weight_bytes for p in priors)
    return max(int(room / sum(prior.slot_bytes for prior in priors)), 0)


def speed_of(
    card: Card, model: str, level: str, max_rows: int, efficiency: Efficiency
) -> LevelSpeed:
    """A prediction from bytes and multiplications; nothing of it was measured on a card."""
    prior = PRIORS[PRIOR_OF_LEVEL[model][level]]
    flop_per_sec = card.flop_per_sec * efficiency.product_share

    def step_sec(num_rows: int) -> float:
        reading = prior.weight_bytes / efficiency.weight_share
        reading += num_rows * prior.row_bytes / efficiency.attention_share
        computing_sec = 2.0 * prior.num_weights * num_rows / flop_per_sec
        launching_sec = prior.num_launches * efficiency.boundary_sec
        return launching_sec + max(reading / card.bytes_per_sec, computing_sec)

    return LevelSpeed(
        step_sec=tuple(step_sec(number) for number in range(1, max_rows + 1)),
        prefix_sec=2.0 * prior.num_weights / flop_per_sec,
    )


def rows_computed(num_rows: int, max_rows: int, *, is_deterministic: bool) -> int:
    """Rows of a step: all of them, or the next power of two of those in use."""
    if is_deterministic:
        return max_rows
    return min(1 << (num_rows - 1).bit_length(), max_rows)


def busy_sec(speed: LevelSpeed, work: LevelWork) -> float:
    """Time of a full worker that one level of one song takes up."""
    return (
        work.num_tokens * speed.step_sec[-1] / speed.max_rows + work.num_prefix * speed.prefix_sec
    )


def mean_busy_sec(
    model: str, demand: Demand, speeds: Mapping[str, LevelSpeed]
) -> Mapping[str, float]:
    """Time of full workers that each level of a mean song of the demand takes up."""
    mean = dict.fromkeys(speeds, 0.0)
    for seconds, share in demand.lengths.items():
        for is_draft, part in ((True, demand.draft_share), (False, 1.0 - demand.draft_share)):
            work = song_work(model, seconds, is_draft=is_draft)
            for level in speeds.keys() & work.keys():
                mean[level] += share * part * busy_sec(speeds[level], work[level])
    return mean


def songs_per_sec(demand: Demand, second: float) -> float:
    """Rate at this second of the day; the peak is at noon."""
    phase = math.cos(2.0 * math.pi * (second / 86_400.0 - 0.5))
    return demand.songs_per_day / 86_400.0 * (1.0 + demand.swing * phase)
