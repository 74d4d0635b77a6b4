"""A thousand jobs in the queue and hundreds of watchers: how the service answers meanwhile.

Windows with and without clients take turns while the worker draws, so that its throughput is
compared within one run.
"""

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

_POSTERS = 16
"""Connections that post the jobs of the queue."""
_ASKS_PER_SEC = 20.0
"""Looks at jobs and lists, while there is load."""
_POSTS_PER_SEC = 2.0
_OPENING_SEC = 20.0
"""How long streams may take to be answered, before the window begins without some."""
_TOKENS = "jukebox_tokens_total"
_MEMORY = "process_resident_memory_bytes"
_QUEUED = 'jukebox_jobs{state="queued"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How much is asked of the service."""

    model: str
    num_jobs: int
    num_watchers: int
    window_sec: float
    rounds: int

    def request(self, seed: int) -> dict[str, Any]:
        """A song of one level, so that the queue lasts and every song is sung alike."""
        return {
            "model": self.model,
            "artist": "The Sawtooths",
            "genre": "drone",
            "duration_seconds": 10,
            "levels": ["top"],
            "seed": seed,
        }


@dataclass(slots=True)
class Timings:
    """How long answers of one kind took, and which were none."""

    milliseconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    async def time(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """Ask, and note how long the whole answer took."""
        started = time.perf_counter()
        response = await ask()
        self.milliseconds.append((time.perf_counter() - started) * 1e3)
        if response.is_error:
            self.refused.append(response.status_code)
        return response

    def summary(self) -> dict[str, Any]:
        """Percentiles in milliseconds."""
        ordered = sorted(self.milliseconds)
        if not ordered:
            return {"number": 0, "refused": 0}
        at = {name: ordered[int(len(ordered) * share)] for name, share in _SHARES.items()}
        return {
            "number": len(ordered),
            "refused": len(self.refused),
            **{name: round(value, 2) for name, value in at.items()},
            "max_ms": round(ordered[-1], 2),
        }


_SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(slots=True)
class Watchers:
    """What the streams brought; `num_open` of them are answered now."""

    num_open: int = 0
    num_events: int = 0
    num_broken: int = 0


async def measure_load(url: str, worker_url: str, plan: LoadPlan) -> dict[str, Any]:
    """Fill the queue, then take turns: nobody asks; everybody does."""
    load = _Load(url, worker_url, plan)
    async with load.clients():
        queueing = await load.fill_queue()
        calm, busy = [], []
        for _ in range(plan.rounds):
            await load.refill_queue()
            calm.append(await load.tokens_per_sec())
            busy.append(await load.tokens_per_sec_under_load())
        calm.append(await load.tokens_per_sec())
        return {
            "queued": queueing,
            "watchers": plan.num_watchers,
            "window_seconds": plan.window_sec,
            "post": load.posts.summary(),
            "get": load.asks.summary(),
            "watched_events": load.watchers.num_events,
            "broken_streams": load.watchers.num_broken,
            "tokens_per_sec_calm": [round(rate, 1) for rate in calm],
            "tokens_per_sec_under_load": [round(rate, 1) for rate in busy],
            "throughput_under_load": throughput_under_load(calm, busy),
            "api_memory": load.memory_summary(),
        }


def throughput_under_load(calm: list[float], busy: list[float]) -> float | None:
    """Median of the busy windows' rates over the mean of the calm ones around each.

    None where the worker drew nothing in calm windows: then nothing can be said.
    """
    around = [statistics.mean(pair) for pair in itertools.pairwise(calm)]
    shares = [rate / mean for rate, mean in zip(busy, around, strict=True) if mean > 0]
    return round(statistics.median(shares), 4) if shares else None


class _Load:
    """The clients of one run."""

    def __init__(self, url: str, worker_url: str, plan: LoadPlan) -> None:
        self._url, self._worker_url, self._plan = url, worker_url, plan
        self._rng = random.Random(0)
        self._seeds = itertools.count(1)
        self._ids: list[str] = []
        self._memory: list[tuple[float, float]] = []
        self.posts, self.asks, self.watchers = Timings(), Timings(), Watchers()

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[None]:
        """Connections, and somebody who looks at the memory every second."""
        limits = httpx.Limits(max_connections=self._plan.num_watchers + 64)
        async with (
            httpx.AsyncClient(
                base_url=self._url, timeout=60, limits=limits, trust_env=False
            ) as self._client,
            _running(self._watch_memory),
        ):
            yield

    async def fill_queue(self) -> dict[str, Any]:
        """Post all jobs at once, over some connections."""
        return await self._post_jobs(self._plan.num_jobs)

    async def refill_queue(self) -> None:
        """Let as many jobs wait as at first: a worker may be done with them before the hour is."""
        num_queued = int(await self._figure(self._url, _QUEUED))
        await self._post_jobs(max(self._plan.num_jobs - num_queued, 0))

    async def _post_jobs(self, number: int) -> dict[str, Any]:
        first, started = Timings(), time.monotonic()
        waiting = iter(range(number))

        async def post_some() -> None:
            for _ in waiting:
                await self._post(first)

        await asyncio.gather(*(post_some() for _ in range(_POSTERS)))
        spent_sec = time.monotonic() - started
        return {**first.summary(), "seconds": round(spent_sec, 2), "connections": _POSTERS}

    async def tokens_per_sec(self) -> float:
        """What the worker keeps per second, over one window. Windows of songs make it lumpy."""
        before, started = await self._figure(self._worker_url, _TOKENS), time.monotonic()
        await asyncio.sleep(self._plan.window_sec)
        after = await self._figure(self._worker_url, _TOKENS)
        return (after - before) / (time.monotonic() - started)

    async def tokens_per_sec_under_load(self) -> float:
        """The same while streams are watched, jobs looked at, and more jobs posted."""
        async with _running(*(self._watch for _ in range(self._plan.num_watchers))):
            # That they all come at one moment is not what is measured.
            await self._until_watched()
            async with _running(self._keep_asking, self._keep_posting):
                return await self.tokens_per_sec()

    def memory_summary(self) -> dict[str, Any]:
        """MB at the beginning and the end; the slope is that of the second half."""
        half = self._memory[len(self._memory) // 2 :]
        seconds, megabytes = zip(*half, strict=True)
        slope = statistics.linear_regression(seconds, megabytes).slope if len(half) > 2 else 0.0
        values = [value for _, value in self._memory]
        return {
            "seconds": round(self._memory[-1][0] - self._memory[0][0], 1),
            "first_mb": round(values[0], 1),
            "middle_mb": round(megabytes[0], 1),
            "last_mb": round(values[-1], 1),
            "most_mb": round(max(values), 1),
            "second_half_mb_per_hour": round(slope * 3600, 2),
        }

    async def _post(self, timings: Timings) -> None:
        request = self._plan.request(next(self._seeds))
        response = await timings.time(lambda: self._client.post("/jobs", json=request))
        if response.is_success:
            self._ids.append(response.json()["id"])

    async def _keep_posting(self) -> None:
        while True:
            await self._post(self.posts)
            await asyncio.sleep(self._rng.expovariate(_POSTS_PER_SEC))

    async def _keep_asking(self) -> None:
        while True:
            path = self._rng.choice([f"/jobs/{self._rng.choice(self._ids)}", "/jobs?limit=20"])
            await self.asks.time(lambda path=path: self._client.get(path))
            await asyncio.sleep(self._rng.expovariate(_ASKS_PER_SEC))

    async def _until_watched(self) -> None:
        deadline = time.monotonic() + _OPENING_SEC
        while self.watchers.num_open < self._plan.num_watchers and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def _watch(self) -> None:
        """One stream after the other, of any jobs: some run, most wait, some have ended."""
        while True:
            path = f"/jobs/{self._rng.choice(self._ids)}/events"
            try:
                async with self._client.stream("GET", path) as response:
                    self.watchers.num_broken += response.is_error
                    self.watchers.num_open += 1
                    try:
                        async for line in response.aiter_lines():
                            self.watchers.num_events += line.startswith("event:")
                    finally:
                        self.watchers.num_open -= 1
            except httpx.TransportError:
                self.watchers.num_broken += 1
            await asyncio.sleep(0.2)

    async def _watch_memory(self) -> None:
        while True:
            with suppress(httpx.TransportError):
                megabytes = await self._figure(self._url, _MEMORY) / 1e6
                self._memory.append((time.monotonic(), megabytes))
            await asyncio.sleep(1.0)

    async def _figure(self, url: str, name: str) -> float:
        """The sum of one figure of a metrics page."""
        page = (await self._client.get(f"{url}/metrics")).text
        lines = (line.rpartition(" ") for line in page.splitlines() if line.startswith(name))
        return sum(float(value) for _, _, value in lines)


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
