"""What does the service add to the library, and how does it answer under load?

`python -m bench.serve [batch] [overhead] [load]`; see `bench/README.md`.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from bench.machine import add_parts, cpu_name, tell
from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient
from jukebox_core.models.catalog import locate_model
from jukebox_core.tiny import write_tiny

PARTS = ("batch", "overhead", "load")
_SPEEDS = ("exact", "parallel")
_POSTERS = 16
"""Connections that post the jobs of the queue."""
_ASKS_PER_SEC = 20.0
"""Looks at jobs and lists, while there is load."""
_POSTS_PER_SEC = 2.0
_OPENING_SEC = 20.0
"""How long streams may take to be answered, before the window begins without some."""
_CPU, _TOKENS = "process_cpu_seconds_total", "jukebox_tokens_total"
_MEMORY, _QUEUED = "process_resident_memory_bytes", 'jukebox_jobs{state="queued"}'
_PART = 'jukebox_song_part_seconds_total{part="'
_WITHIN_DRAWING = ("loading", "prompt")
"""Parts that are a part of another one."""

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, a worker and an API of one part alone, so that none inherits a queue."""

    url: str
    worker_url: str
    model_dir: Path

    def request(self, seconds: float, seed: int, **others: object) -> Figures:
        """One song; seeds tell songs apart."""
        return {
            "model": self.model_dir.name,
            "artist": "The Sawtooths",
            "genre": "drone",
            "lyrics": "hello hello is anybody there",
            "duration_seconds": seconds,
            "seed": seed,
            **others,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    options = _parser().parse_args(arguments)
    if options.quick:
        small = {"seconds": 1.5, "songs": 3, "repeats": 1, "rounds": 1, "jobs": 40}
        vars(options).update(small | {"watchers": 10, "window": 3.0})
    found: Figures = {"machine": cpu_name(), "cores": os.cpu_count()}
    found |= {name: getattr(options, name) for name in ("backend", "weights", "library_threads")}
    with tempfile.TemporaryDirectory(prefix="jukebox-serve") as name:
        model_dir = options.model or Path(name) / "models" / "tiny"
        if options.model is None:
            write_tiny(model_dir)
        found["model"] = model_dir.name
        for part in [part for part in PARTS if part in options.parts]:
            with _service(Path(name) / part, model_dir, options) as service:
                found[part] = _MEASURES[part](service, options)
    tell(found)


@contextmanager
def _service(data_dir: Path, model_dir: Path, options: argparse.Namespace) -> Iterator[Service]:
    data_dir.mkdir()
    metrics_port = free_port()
    settings = {
        "JUKEBOX_METRICS_PORT": str(metrics_port),
        "JUKEBOX_BACKEND": options.backend,
        "JUKEBOX_WEIGHTS": options.weights,
        "JUKEBOX_LIMITS": "max_queued=0",
    }
    wanted = StackSettings(
        data_dir=data_dir, models_dir=model_dir.resolve().parent, port=free_port()
    )
    with mock.patch.dict(os.environ, settings), running_stack(wanted, StopSignals()) as stack:
        yield Service(
            url=stack.url, worker_url=f"http://127.0.0.1:{metrics_port}", model_dir=model_dir
        )


# ---- batch: songs together against songs one after the other ----


def measure_batch(service: Service, options: argparse.Namespace) -> Figures:
    """Songs one after the other, then as many at once, through one worker; round after round."""
    _sing(service, service.request(options.seconds, 0))  # loads the model
    rounds = [_sing_round(service, options, turn) for turn in range(options.rounds)]
    medians = {name: _median(each[name] for each in rounds) for name in rounds[0]}
    return {
        "songs": options.songs,
        "song_seconds": options.seconds,
        **medians,
        "times_of_rounds": [round(each["times"], 3) for each in rounds],
        "music_seconds_per_second": round(
            options.songs * options.seconds / medians["at_once_seconds"], 3
        ),
    }


def _sing_round(service: Service, options: argparse.Namespace, turn: int) -> dict[str, float]:
    """Every song of a round has a seed of its own, the same in every run."""
    first = 1 + 2 * options.songs * turn
    requests = [
        service.request(options.seconds, seed) for seed in range(first, first + 2 * options.songs)
    ]
    cpu = [_worker_figures(service)[_CPU]]
    alone = [_sing(service, request) for request in requests[: options.songs]]
    cpu.append(_worker_figures(service)[_CPU])
    with ThreadPoolExecutor(options.songs) as pool:
        together = list(pool.map(lambda each: _sing(service, each), requests[options.songs :]))
    cpu.append(_worker_figures(service)[_CPU])
    one_by_one, at_once = sum(_seconds_of(job) for job in alone), _seconds_of(*together)
    return {
        "one_by_one_seconds": one_by_one,
        "at_once_seconds": at_once,
        "times": one_by_one / at_once,
        "one_by_one_cpu_seconds": cpu[1] - cpu[0],
        "at_once_cpu_seconds": cpu[2] - cpu[1],
    }


def _sing(service: Service, request: Figures) -> Figures:
    """The job at its end. Raises JobFailed when it did not succeed."""
    with JukeboxClient(service.url) as client:
        return client.create_and_wait(request).to_dict()


def _seconds_of(*jobs: Figures) -> float:
    """From the first record of some jobs to the last end, by the server's clock."""
    begins = [datetime.fromisoformat(job["created_at"]) for job in jobs]
    ends = [datetime.fromisoformat(job["completed_at"]) for job in jobs]
    return (max(ends) - min(begins)).total_seconds()


def _worker_figures(service: Service) -> dict[str, float]:
    """Every figure on the worker's page for Prometheus."""
    return _figures(httpx.get(f"{service.worker_url}/metrics", trust_env=False).text)


def _figures(page: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def _median(values: Iterator[float] | Sequence[float]) -> float:
    return round(statistics.median(values), 4)


# ---- overhead: the service beside the library ----


def measure_overhead(service: Service, options: argparse.Namespace) -> Figures:
    """The same songs by the service and by the library, in turn, at both speeds.

    The library draws, and decodes the finest level. The service makes the sound of the levels above
    as well, times the lyrics, and writes it all to the disk.
    """
    found: dict[str, list[Figures]] = {speed: [] for speed in _SPEEDS}
    library = (str(service.model_dir), options.backend, options.weights, options.library_threads)
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_open_library, initargs=library
    ) as pool:
        for seed in range(options.repeats + 1):
            for speed, songs in found.items():
                request = service.request(options.seconds, seed, speed=speed)
                before = _worker_figures(service)
                job = _sing(service, request)
                after = _worker_figures(service)
                spent = pool.submit(_sing_in_library, request).result()
                if seed > 0:  # the first loads the model
                    songs.append(_compared(job, before, after, spent))
    return {
        speed: {
            "song_seconds": options.seconds,
            **{name: _medians([song[name] for song in songs]) for name in songs[0]},
        }
        for speed, songs in found.items()
    }


def _open_library(model: str, backend: str, weights: str, num_threads: int) -> None:
    """In a process of its own, like a worker."""
    import torch

    from jukebox_core.model import JukeboxModel

    global _library
    torch.set_num_threads(num_threads)
    _library = JukeboxModel.from_pretrained(Path(model), weights=weights, backend=backend)


_library: Any = None


def _sing_in_library(request: Figures) -> dict[str, float]:
    """Seconds of sampling and of the finest level's sound, and of processors."""
    from bench.song import sing

    labels = _library.tokenizer(request["artist"], request["genre"], request["lyrics"])
    seconds, seed, speed = (request[name] for name in ("duration_seconds", "seed", "speed"))
    take = sing(_library, seconds, seed, speed, labels)
    return {"draw": take.sampling_sec, "decode": take.decoding_sec, "cpu": take.cpu_sec}


def _compared(
    job: Figures, before: Mapping[str, float], after: Mapping[str, float], spent: dict[str, float]
) -> Figures:
    library_cpu = spent.pop("cpu")
    service, library = _seconds_of(job), sum(spent.values())
    drawing = sum(level["seconds"] for level in job["metrics"]["levels"].values())
    waiting = job["metrics"]["queue_seconds"]
    return {
        "service_seconds": service,
        "library_seconds": library,
        "waiting_seconds": waiting,
        "drawing_seconds": drawing,
        "beside_drawing_seconds": service - drawing,
        "overhead_seconds": service - library,
        "overhead_share": service / library - 1.0,
        "service_cpu_seconds": after[_CPU] - before[_CPU],
        "library_cpu_seconds": library_cpu,
        "parts": parts_between(before, after, service, waiting),
        "library_parts": spent,
    }


def parts_between(
    before: Mapping[str, float], after: Mapping[str, float], service_sec: float, waiting_sec: float
) -> dict[str, float]:
    """What a song waited for between its record and its end, part by part, as the worker counts.

    `other` is what nobody counts: messages, claims, the last writes.
    """
    parts = {"waiting": waiting_sec} | {
        name.removeprefix(_PART).partition('"')[0]: seconds - before.get(name, 0.0)
        for name, seconds in after.items()
        if name.startswith(_PART)
    }
    within = sum(parts.get(part, 0.0) for part in _WITHIN_DRAWING)
    parts["drawing"] = parts.get("drawing", 0.0) - within
    return parts | {"other": service_sec - sum(parts.values())}


def _medians(found: Sequence[Any]) -> Any:  # noqa: ANN401
    """Of numbers, or of each value of some mappings."""
    if isinstance(found[0], dict):
        return {name: _median([each[name] for each in found]) for name in found[0]}
    return _median(found)


# ---- load: a thousand jobs and hundreds of watchers ----


def measure_load(service: Service, options: argparse.Namespace) -> Figures:
    """Fill the queue, then take turns: nobody asks; everybody does."""
    return asyncio.run(_measure_load(service, options))


async def _measure_load(service: Service, options: argparse.Namespace) -> Figures:
    load = _Load(service, options)
    async with load.clients():
        started, queued = time.monotonic(), await load.post_jobs(options.jobs)
        queued_sec = time.monotonic() - started
        calm, busy = [], []
        for _ in range(options.rounds):
            # As many jobs as at first: a worker may be done with them before the hour is.
            await load.post_jobs(options.jobs - int(await load.figure(service.url, _QUEUED)))
            calm.append(await load.tokens_per_sec())
            busy.append(await load.tokens_per_sec_under_load())
        calm.append(await load.tokens_per_sec())
    return {
        "queued": {**queued.summary(), "seconds": round(queued_sec, 2), "connections": _POSTERS},
        "watchers": options.watchers,
        "window_seconds": options.window,
        "post": load.posts.summary(),
        "get": load.asks.summary(),
        "watched_events": load.num_events,
        "broken_streams": load.num_broken,
        "tokens_per_sec_calm": [round(rate, 1) for rate in calm],
        "tokens_per_sec_under_load": [round(rate, 1) for rate in busy],
        "throughput_under_load": throughput_under_load(calm, busy),
        "api_memory": memory_summary(load.memory),
    }


def throughput_under_load(calm: Sequence[float], busy: Sequence[float]) -> float | None:
    """Median of the busy windows' rates over the mean of the calm ones around each.

    None where the worker drew nothing in calm windows: then nothing can be said.
    """
    around = [statistics.mean(pair) for pair in itertools.pairwise(calm)]
    shares = [rate / mean for rate, mean in zip(busy, around, strict=True) if mean > 0]
    return _median(shares) if shares else None


def memory_summary(found: Sequence[tuple[float, float]]) -> Figures:
    """Of `(moment, MB)`: the beginning and the end; the slope is that of the second half."""
    half = found[len(found) // 2 :]
    seconds, megabytes = zip(*half, strict=True)
    slope = statistics.linear_regression(seconds, megabytes).slope if len(half) > 2 else 0.0
    return {
        "seconds": round(found[-1][0] - found[0][0], 1),
        "first_mb": round(found[0][1], 1),
        "middle_mb": round(megabytes[0], 1),
        "last_mb": round(megabytes[-1], 1),
        "most_mb": round(max(each for _, each in found), 1),
        "second_half_mb_per_hour": round(slope * 3600, 2),
    }


@dataclass(slots=True)
class Timings:
    """How long answers of one kind took, and which were none."""

    milliseconds: list[float] = field(default_factory=list)
    num_refused: int = 0

    async def time(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """Ask, and note how long the whole answer took."""
        started = time.perf_counter()
        response = await ask()
        self.milliseconds.append((time.perf_counter() - started) * 1e3)
        self.num_refused += response.is_error
        return response

    def summary(self) -> Figures:
        """Percentiles in milliseconds."""
        ordered = sorted(self.milliseconds)
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99} if ordered else {}
        return {
            "number": len(ordered),
            "refused": self.num_refused,
            **{
                name: round(ordered[int(len(ordered) * share)], 2) for name, share in shares.items()
            },
            "max_ms": round(ordered[-1], 2) if ordered else None,
        }


class _Load:
    """The clients of one run."""

    def __init__(self, service: Service, options: argparse.Namespace) -> None:
        self._service, self._options = service, options
        self._rng = random.Random(0)
        self._seeds = itertools.count(1)
        self._ids: list[str] = []
        self._num_open = self.num_events = self.num_broken = 0
        self.memory: list[tuple[float, float]] = []
        self.posts, self.asks = Timings(), Timings()

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[None]:
        """Connections, and somebody who looks at the memory every second."""
        limits = httpx.Limits(max_connections=self._options.watchers + 64)
        async with (
            httpx.AsyncClient(
                base_url=self._service.url, timeout=60, limits=limits, trust_env=False
            ) as self._client,
            _running(self._watch_memory),
        ):
            yield

    async def post_jobs(self, number: int) -> Timings:
        """Post jobs at once, over some connections."""
        timings, waiting = Timings(), iter(range(number))

        async def post_some() -> None:
            for _ in waiting:
                await self._post(timings)

        await asyncio.gather(*(post_some() for _ in range(_POSTERS)))
        return timings

    async def tokens_per_sec(self) -> float:
        """What the worker keeps per second, over one window. Windows of songs make it lumpy."""
        url = self._service.worker_url
        before, started = await self.figure(url, _TOKENS), time.monotonic()
        await asyncio.sleep(self._options.window)
        return (await self.figure(url, _TOKENS) - before) / (time.monotonic() - started)

    async def tokens_per_sec_under_load(self) -> float:
        """The same while streams are watched, jobs looked at, and more jobs posted."""
        async with _running(*(self._watch for _ in range(self._options.watchers))):
            # That they all come at one moment is not what is measured.
            deadline = time.monotonic() + _OPENING_SEC
            while self._num_open < self._options.watchers and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            async with _running(self._keep_asking, self._keep_posting):
                return await self.tokens_per_sec()

    async def figure(self, url: str, name: str) -> float:
        """The sum of one figure of a metrics page."""
        page = _figures((await self._client.get(f"{url}/metrics")).text)
        return sum(value for key, value in page.items() if key.startswith(name))

    async def _post(self, timings: Timings) -> None:
        """A song of one level, so that the queue lasts and every song is sung alike."""
        request = self._service.request(10.0, next(self._seeds), levels=["top"])
        response = await timings.time(partial(self._client.post, "/jobs", json=request))
        if response.is_success:
            self._ids.append(response.json()["id"])

    async def _keep_posting(self) -> None:
        while True:
            await self._post(self.posts)
            await asyncio.sleep(self._rng.expovariate(_POSTS_PER_SEC))

    async def _keep_asking(self) -> None:
        while True:
            path = self._rng.choice([f"/jobs/{self._rng.choice(self._ids)}", "/jobs?limit=20"])
            await self.asks.time(partial(self._client.get, path))
            await asyncio.sleep(self._rng.expovariate(_ASKS_PER_SEC))

    async def _watch(self) -> None:
        """One stream after the other, of any jobs: some run, most wait, some have ended."""
        while True:
            path = f"/jobs/{self._rng.choice(self._ids)}/events"
            try:
                async with self._client.stream("GET", path) as response:
                    self.num_broken += response.is_error
                    self._num_open += 1
                    try:
                        async for line in response.aiter_lines():
                            self.num_events += line.startswith("event:")
                    finally:
                        self._num_open -= 1
            except httpx.TransportError:
                self.num_broken += 1
            await asyncio.sleep(0.2)

    async def _watch_memory(self) -> None:
        while True:
            with suppress(httpx.TransportError):
                megabytes = await self.figure(self._service.url, _MEMORY) / 1e6
                self.memory.append((time.monotonic(), megabytes))
            await asyncio.sleep(1.0)


@asynccontextmanager
async def _running(*makers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Tasks for as long as the block runs. An error in one of them is raised at its end."""
    tasks = [asyncio.ensure_future(make()) for make in makers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        endings = await asyncio.gather(*tasks, return_exceptions=True)
    for ending in endings:
        if isinstance(ending, Exception):
            raise ending


_MEASURES = {"batch": measure_batch, "overhead": measure_overhead, "load": measure_load}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.serve", description=__doc__)
    add_parts(parser, PARTS)
    parser.add_argument(
        "--model", type=locate_model, help="model directory, or `mini`; a fresh `tiny` if left out"
    )
    parser.add_argument("--backend", choices=("auto", "torch", "native"), default="auto")
    parser.add_argument("--weights", choices=("full", "int8"), default="full")
    parser.add_argument("--library-threads", type=int, default=1, help="more with free cores only")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a song")
    parser.add_argument("--songs", type=int, default=8, help="of `batch`, at once")
    parser.add_argument("--repeats", type=int, default=3, help="of `overhead`")
    parser.add_argument("--rounds", type=int, default=3, help="of `batch` and `load`")
    parser.add_argument("--jobs", type=int, default=1000, help="of `load`, queued at once")
    parser.add_argument("--watchers", type=int, default=200, help="of `load`: streams of events")
    parser.add_argument("--window", type=float, default=60.0, help="of `load`: seconds")
    parser.add_argument("--quick", action="store_true", help="small figures, for a test")
    return parser


if __name__ == "__main__":
    main()
