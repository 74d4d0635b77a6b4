"""How well does the simulation predict waiting times? Workers of `mini` share these cores.

First one worker tells how long its steps and all the rest take, then several how much longer beside
each other: they share the cores of the host. Then the same songs arrive, at the same moments, at
the service and at the simulation.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.fleet.inputs import Operation
from bench.fleet.planner import LEVELS, HostPlan, LevelSpeed, LevelWork, PoolPlan, SimulatedSong
from bench.fleet.simulation import Fleet
from bench.report import Figures
from bench.serve.service import ServiceProcesses, song_request
from jukebox_client import JukeboxClient, ServiceUnreachable
from jukebox_core.models.catalog import BUNDLED_MODELS

MODEL = "mini"
SONGS_AT_ONCE = 2
"""Rows of a worker; each worker samples on one core, and decodes sound on another."""
_START_SEC = 60.0
_FULL_ROUNDS = 2
_BISECTIONS = 30
_WORKER = {
    "JUKEBOX_CONCURRENCY": str(SONGS_AT_ONCE),
    "JUKEBOX_MAX_ROWS": str(SONGS_AT_ONCE),
    "JUKEBOX_NATIVE_THREADS": "1",
    "JUKEBOX_TUNING": "overlap=off",
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A song of the burst: when it is posted, after the first, and how long it is."""

    at_sec: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one worker: steps by level, tokens of a second of music, and time beside sampling."""

    speeds: Mapping[str, LevelSpeed]
    tokens_per_sec: Mapping[str, float]
    render_sec: float


class Service:
    """Server, API and some workers, without a queue when a measurement begins."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._processes = ServiceProcesses(stack, folder, BUNDLED_MODELS)
        self.num_workers = 0
        self._client = stack.enter_context(JukeboxClient(self._processes.url))

    def add_worker(self) -> None:
        """Start one more, and wait until it is announced."""
        self.num_workers += 1
        name = f"worker-{self.num_workers}"
        health_file = str(self._folder / f"{name}.alive")
        more = {"JUKEBOX_WORKER_NAME": name, "JUKEBOX_HEALTH_FILE": health_file}
        self._processes.start("worker", name, _WORKER | more)
        deadline = time.monotonic() + _START_SEC
        while self._num_announced() < self.num_workers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} was not ready within {_START_SEC:.0f} s")
            time.sleep(0.1)

    def sing(self, arrivals: Sequence[Arrival]) -> list[Figures]:
        """Post songs at their times; the jobs when all have ended."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(arrivals)) as pool:
            return list(
                pool.map(lambda each: self._sing_one(each[0], each[1], began), enumerate(arrivals))
            )

    def _sing_one(self, number: int, arrival: Arrival, began: float) -> Figures:
        time.sleep(max(began + arrival.at_sec - time.monotonic(), 0.0))
        request = song_request(MODEL, arrival.seconds, number + 1)
        with JukeboxClient(self._processes.url) as client:
            return client.create_and_wait(request).to_dict()

    def _num_announced(self) -> int:
        try:
            return len(self._client.get_system().workers)
        except ServiceUnreachable:
            return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many workers, and which songs: two minutes."""
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--songs", type=int, default=12, help="of each burst")
    parser.add_argument("--seconds", type=float, default=4.0, help="mean length of a song")


def measure(options: argparse.Namespace) -> Figures:
    """Waiting times of the service beside those that the simulation predicts."""
    slowdowns: list[float] = []
    with tempfile.TemporaryDirectory(prefix="jukebox-fleet") as name, ExitStack() as stack:
        service = Service(Path(name), stack)
        rows = []
        for number in range(1, max(options.workers) + 1):
            service.add_worker()
            # Every worker has loaded the model before it counts.
            service.sing([Arrival(0.0, options.seconds / 2)] * (3 * SONGS_AT_ONCE))
            if number == 1:
                measured = measure_worker(service, options.seconds)
                alone_sec = full_sec(service, options.seconds)
            full = [full_sec(service, options.seconds)]
            jobs = []
            if number in options.workers:
                song_sec = full[0] / (number * SONGS_AT_ONCE)
                jobs = service.sing(burst(options, song_sec=song_sec, seed=number))
                # Before and after: the machine is not as fast in every minute.
                full.append(full_sec(service, options.seconds))
            slowdowns.append(max(statistics.mean(full) / alone_sec, 1.0))
            if jobs:
                rows.append(compared(measured, number, HostPlan(tuple(slowdowns)), jobs))
    found = {
        "songs": options.songs,
        "step_ms": {
            level: [round(1e3 * sec, 4) for sec in speed.step_sec]
            for level, speed in measured.speeds.items()
        },
        "render_seconds": round(measured.render_sec, 3),
        "slowdowns": [round(each, 2) for each in slowdowns],
        "waits": rows,
    }
    return {"calibrate": found}


def measure_worker(service: Service, seconds: float) -> Measured:
    """Songs alone, and as many at once as a worker holds."""
    steps: dict[str, list[float]] = {level: [] for level in LEVELS}
    beside: list[float] = []
    tokens_per_sec: dict[str, float] = {}
    for number in range(1, SONGS_AT_ONCE + 1):
        jobs = [job for _ in range(2) for job in service.sing([Arrival(0.0, seconds)] * number)]
        for level in LEVELS:
            tokens_per_sec[level] = _num_tokens(jobs[0], level) / seconds
            sampling = statistics.median(_level_sec(job, level) for job in jobs)
            steps[level].append(sampling / tokens_per_sec[level] / seconds)
        beside.append(statistics.median(_beside_sec(job) for job in jobs))
    return Measured(
        speeds={
            level: LevelSpeed(step_sec=tuple(each), prefix_sec=0.0) for level, each in steps.items()
        },
        tokens_per_sec=tokens_per_sec,
        render_sec=statistics.mean(beside),
    )


def full_sec(service: Service, seconds: float) -> float:
    """Mean time of a song, from its start to its end, while all workers have all their songs."""
    jobs = []
    for _ in range(_FULL_ROUNDS):
        jobs += service.sing([Arrival(0.0, seconds)] * (SONGS_AT_ONCE * service.num_workers))
    return statistics.mean(_seconds_between(job, "started_at", "completed_at") for job in jobs)


def burst(options: argparse.Namespace, *, song_sec: float, seed: int) -> list[Arrival]:
    """Songs that come twice as fast as they are sung, so that a queue grows.

    One of mean length takes `song_sec` of all workers together.
    """
    rng = random.Random(seed)
    at_sec, arrivals = 0.0, []
    for _ in range(options.songs):
        arrivals.append(Arrival(at_sec, rng.choice((0.5, 1.0, 1.5)) * options.seconds))
        at_sec += rng.expovariate(2.0 / song_sec)
    return arrivals


def arrived(jobs: Sequence[Figures]) -> list[Arrival]:
    """When songs were really posted, after the first of them."""
    moments = sorted((_moment(job, "created_at"), job["duration_seconds"]) for job in jobs)
    return [Arrival(at_sec - moments[0][0], seconds) for at_sec, seconds in moments]


def predicted(
    measured: Measured, num_workers: int, host: HostPlan, arrivals: Sequence[Arrival]
) -> list[SimulatedSong]:
    """What becomes of each song in the simulation, in the order of their arrival."""
    plan = PoolPlan(
        name=MODEL,
        levels=LEVELS,
        speeds=measured.speeds,
        max_songs=SONGS_AT_ONCE,
        render_sec=measured.render_sec,
        # What is computed is what is needed: the native backend pads nothing.
        operation=Operation(min_cards=num_workers, max_cards=num_workers, is_deterministic=False),
        host=host,
        has_equal_turns=True,
    )
    fleet = Fleet([plan])
    songs = [
        SimulatedSong(arrived_at=each.at_sec, levels=_levels(measured, each.seconds))
        for each in arrivals
    ]
    fleet.run(songs)
    return songs


def at_the_pace_of(
    song_sec: float,
    measured: Measured,
    num_workers: int,
    host: HostPlan,
    arrivals: Sequence[Arrival],
) -> HostPlan:
    """The host with all slowdowns times one factor: then a mean song takes `song_sec` when begun.

    A machine that does other work as well is not as fast during a burst as before and after it.
    """
    low, high = 0.05, 20.0
    for _ in range(_BISECTIONS):
        factor = math.sqrt(low * high)
        scaled = HostPlan(tuple(factor * each for each in host.slowdowns), host.num_workers)
        songs = predicted(measured, num_workers, scaled, arrivals)
        if statistics.mean(map(_simulated_song_sec, songs)) < song_sec:
            low = factor
        else:
            high = factor
    return scaled


def compared(
    measured: Measured, num_workers: int, host: HostPlan, jobs: Sequence[Figures]
) -> Figures:
    """Mean and ninth decile of waiting times, and how far the predictions are off.

    `predicted` goes by what was measured before and after the songs; `fitted` by how long they took
    on their workers, so that only their waiting is predicted.
    """
    arrivals = arrived(jobs)
    song_sec = statistics.mean(_seconds_between(job, "started_at", "completed_at") for job in jobs)
    fitted = at_the_pace_of(song_sec, measured, num_workers, host, arrivals)
    found = [_waited_sec(job) for job in jobs]
    row: Figures = {"workers": num_workers, "song_sec": round(song_sec, 2)}
    waits = {
        name: [song.waited_sec for song in predicted(measured, num_workers, each, arrivals)]
        for name, each in (("predicted", host), ("fitted", fitted))
    }
    for what, figure in (("mean", statistics.mean), ("p90", _ninth_decile)):
        row[f"measured_{what}_sec"] = round(figure(found), 2)
        for name, expected in waits.items():
            row[f"{name}_{what}_sec"] = round(figure(expected), 2)
            row[f"{name}_error_{what}"] = round(figure(expected) / figure(found) - 1.0, 3)
    return row


def _simulated_song_sec(song: SimulatedSong) -> float:
    return (song.done_at or 0.0) - (song.began_at or 0.0)


def _ninth_decile(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def _levels(measured: Measured, seconds: float) -> deque[tuple[str, LevelWork]]:
    return deque(
        (
            level,
            LevelWork(
                num_tokens=round(measured.tokens_per_sec[level] * seconds),
                num_prefix=0,
                num_windows=1,
            ),
        )
        for level in LEVELS
    )


def _num_tokens(job: Mapping[str, Any], level: str) -> int:
    (progress,) = [each for each in job["progress"]["levels"] if each["level"] == level]
    return int(progress["tokens_total"])


def _level_sec(job: Mapping[str, Any], level: str) -> float:
    return float(job["metrics"]["levels"][level]["seconds"])


def _waited_sec(job: Mapping[str, Any]) -> float:
    return _seconds_between(job, "created_at", "started_at")


def _beside_sec(job: Mapping[str, Any]) -> float:
    """What a song takes on its worker while it does not sample."""
    sampling = sum(_level_sec(job, level) for level in LEVELS)
    return max(_seconds_between(job, "started_at", "completed_at") - sampling, 0.0)


def _seconds_between(job: Mapping[str, Any], first: str, last: str) -> float:
    return _moment(job, last) - _moment(job, first)


def _moment(job: Mapping[str, Any], name: str) -> float:
    return datetime.fromisoformat(job[name]).timestamp()
