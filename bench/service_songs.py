"""Songs through one worker: together or one after the other, and beside the library alone."""

import json
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import httpx

from cli.service.client import JukeboxClient
from jukebox_core.child_processes import TORCH_VARIABLES, child_environment, python_command

_ROOT = Path(__file__).parents[1]
_CPU = "process_cpu_seconds_total"
_PART = 'jukebox_song_part_seconds_total{part="'
_WITHIN_DRAWING = ("loading", "prompt")
"""Parts that are a part of another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongPlan:
    """Which songs are sung, and how often."""

    model: str
    duration_sec: float
    num_songs: int
    repeats: int
    rounds: int = 1
    step: str = "auto"
    weights: str = "full"
    library_threads: int = 1

    def request(self, seed: int, speed: str = "exact") -> dict[str, Any]:
        """One song; seeds tell songs apart."""
        return {
            "model": self.model,
            "artist": "The Sawtooths",
            "genre": "drone",
            "lyrics": "hello hello is anybody there",
            "duration_seconds": self.duration_sec,
            "seed": seed,
            "speed": speed,
        }


def measure_batch(url: str, worker_url: str, plan: SongPlan) -> dict[str, Any]:
    """Songs one after the other, then as many at once, through one worker; round after round."""
    with JukeboxClient(url) as client:
        _sing(client, plan.request(0))  # loads the model
        rounds = [_sing_round(client, url, worker_url, plan, turn) for turn in range(plan.rounds)]

    def median(figure: Callable[[_Round], float]) -> float:
        return round(statistics.median(figure(each) for each in rounds), 3)

    music_sec = plan.num_songs * plan.duration_sec
    return {
        "songs": plan.num_songs,
        "song_seconds": plan.duration_sec,
        "one_by_one_seconds": median(lambda each: each.one_by_one),
        "at_once_seconds": median(lambda each: each.at_once),
        "times": median(lambda each: each.one_by_one / each.at_once),
        "times_of_rounds": [round(each.one_by_one / each.at_once, 3) for each in rounds],
        "one_by_one_cpu_seconds": median(lambda each: each.one_by_one_cpu),
        "at_once_cpu_seconds": median(lambda each: each.at_once_cpu),
        "music_seconds_per_second": median(lambda each: music_sec / each.at_once),
    }


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds of all songs of a round, and the worker's processor seconds."""

    one_by_one: float
    one_by_one_cpu: float
    at_once: float
    at_once_cpu: float


def _sing_round(
    client: JukeboxClient, url: str, worker_url: str, plan: SongPlan, turn: int
) -> _Round:
    """Every song of a round has a seed of its own, the same in every run."""
    first = 1 + 2 * plan.num_songs * turn
    seeds = range(first, first + 2 * plan.num_songs)
    began_cpu = _worker_cpu_sec(worker_url)
    alone = [_sing(client, plan.request(seed)) for seed in seeds[: plan.num_songs]]
    half_cpu = _worker_cpu_sec(worker_url)
    with ThreadPoolExecutor(plan.num_songs) as pool:
        later = seeds[plan.num_songs :]
        together = list(pool.map(lambda seed: _sing_alone(url, plan.request(seed)), later))
    return _Round(
        one_by_one=sum(_service_sec(job) for job in alone),
        one_by_one_cpu=half_cpu - began_cpu,
        at_once=(_latest(together) - _earliest(together)).total_seconds(),
        at_once_cpu=_worker_cpu_sec(worker_url) - half_cpu,
    )


def measure_overhead(
    url: str, worker_url: str, model_dir: Path, plan: SongPlan
) -> dict[str, dict[str, Any]]:
    """The same songs by the service and by the library, in turn, at both speeds.

    The library draws, and decodes the finest level. The service makes the sound of the levels above
    as well, times the lyrics, and writes it all to the disk.
    """
    found: dict[str, list[_Pair]] = {"exact": [], "parallel": []}
    with JukeboxClient(url) as client, _Library(model_dir, plan) as singer:
        for seed in range(plan.repeats + 1):
            for speed, pairs in found.items():
                pair = _sing_both(client, worker_url, singer, plan.request(seed, speed))
                if seed > 0:  # the first loads the model
                    pairs.append(pair)
    return {speed: _summary(plan, pairs) for speed, pairs in found.items()}


@dataclass(frozen=True, slots=True)
class _Pair:
    """One song by both: seconds from the record to the end, of drawing, and of processors."""

    service: float
    waiting: float
    drawing: float
    service_cpu: float
    library: float
    library_cpu: float
    parts: Mapping[str, float]
    library_parts: Mapping[str, float]


def _sing_both(
    client: JukeboxClient, worker_url: str, singer: "_Library", request: dict[str, Any]
) -> _Pair:
    before = _worker_figures(worker_url)
    job = _sing(client, request)
    after = _worker_figures(worker_url)
    spent = singer.sing(request)
    waiting = job["metrics"]["queue_seconds"]
    return _Pair(
        service=_service_sec(job),
        waiting=waiting,
        drawing=sum(level["seconds"] for level in job["metrics"]["levels"].values()),
        service_cpu=after[_CPU] - before[_CPU],
        library=spent["draw"] + spent["decode"],
        library_cpu=spent["cpu"],
        parts=_parts_between(before, after, _service_sec(job), waiting),
        library_parts={name: spent[name] for name in ("draw", "decode", "previews")},
    )


def _parts_between(
    before: Mapping[str, float], after: Mapping[str, float], service_sec: float, waiting_sec: float
) -> dict[str, float]:
    """What a song waited for between its record and its end, part by part, as the worker counts.

    `other` is what nobody counts: messages, claims, the last writes.
    """
    parts = {"waiting": waiting_sec}
    for name, seconds in after.items():
        if name.startswith(_PART):
            part = name.removeprefix(_PART).partition('"')[0]
            parts[part] = seconds - before.get(name, 0.0)
    within = sum(parts.get(part, 0.0) for part in _WITHIN_DRAWING)
    parts["drawing"] = parts.get("drawing", 0.0) - within
    return parts | {"other": service_sec - sum(parts.values())}


def _summary(plan: SongPlan, pairs: list[_Pair]) -> dict[str, Any]:
    def median(figure: Callable[[_Pair], float]) -> float:
        return round(statistics.median(figure(pair) for pair in pairs), 4)

    return {
        "song_seconds": plan.duration_sec,
        "service_seconds": [round(pair.service, 3) for pair in pairs],
        "library_seconds": [round(pair.library, 3) for pair in pairs],
        "previews_seconds": [round(pair.library_parts["previews"], 3) for pair in pairs],
        "waiting_seconds": median(lambda pair: pair.waiting),
        "drawing_seconds": median(lambda pair: pair.drawing),
        "beside_drawing_seconds": median(lambda pair: pair.service - pair.drawing),
        "overhead_seconds": median(lambda pair: pair.service - pair.library),
        "overhead_share": median(lambda pair: pair.service / pair.library - 1.0),
        "service_cpu_seconds": median(lambda pair: pair.service_cpu),
        "library_cpu_seconds": median(lambda pair: pair.library_cpu),
        "parts": _medians([pair.parts for pair in pairs]),
        "library_parts": _medians([pair.library_parts for pair in pairs]),
    }


def _medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(parts[name] for parts in found), 4) for name in found[0]}


def _worker_cpu_sec(worker_url: str) -> float:
    """Processor seconds of the worker so far."""
    return _worker_figures(worker_url)[_CPU]


def _worker_figures(worker_url: str) -> dict[str, float]:
    """Every figure on the worker's page for Prometheus."""
    page = httpx.get(f"{worker_url}/metrics", trust_env=False).text
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


class _Library:
    """`bench.library_song` as a process; a context manager."""

    def __init__(self, model_dir: Path, plan: SongPlan) -> None:
        options = (plan.step, plan.weights, str(plan.library_threads))
        command = python_command("bench.library_song", str(model_dir), *options)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(*TORCH_VARIABLES, PYTHONPATH=str(_ROOT)),
        )

    def __enter__(self) -> "_Library":
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait()
        self._pipe(self._process.stdout).close()

    def sing(self, request: dict[str, Any]) -> dict[str, float]:
        """Seconds of each part of one song."""
        pipe = self._pipe(self._process.stdin)
        pipe.write(json.dumps(request) + "\n")
        pipe.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the library ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise RuntimeError("the library was started without a pipe")
        return pipe


def _sing_alone(url: str, request: dict[str, Any]) -> dict[str, Any]:
    with JukeboxClient(url) as client:
        return _sing(client, request)


def _sing(client: JukeboxClient, request: dict[str, Any]) -> dict[str, Any]:
    """The job at its end. Raises RuntimeError when it did not succeed."""
    *_, last = client.follow(client.submit(request)["id"])
    if last["status"] != "succeeded":
        raise RuntimeError(f"a song ended as {last['status']}: {last['error']}")
    return dict(last)


def _service_sec(job: dict[str, Any]) -> float:
    """From the record of the job to its end, by the server's clock."""
    return (_latest([job]) - _earliest([job])).total_seconds()


def _earliest(jobs: list[dict[str, Any]]) -> datetime:
    return min(datetime.fromisoformat(job["created_at"]) for job in jobs)


def _latest(jobs: list[dict[str, Any]]) -> datetime:
    return max(datetime.fromisoformat(job["completed_at"]) for job in jobs)
