"""A thousand jobs and hundreds of watchers: how the API answers, and what the worker loses."""

import argparse
import asyncio
import itertools
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx

from bench.report import Figures
from bench.serve.service import Service, figures_of, median
from bench.serve.timings import Timings, running

_POSTERS = 16
"""Connections that post the jobs of the queue."""
_ASKS_PER_SEC = 20.0
"""Looks at jobs and lists, while there is load."""
_POSTS_PER_SEC = 2.0
_OPENING_SEC = 60.0
"""How long streams may take to tell their first event, before the window begins without some."""
_TOKENS = "jukebox_tokens_total"
_MEMORY, _QUEUED = "process_resident_memory_bytes", 'jukebox_jobs{state="queued"}'


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
    return median(shares) if shares else None


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
            running(self._watch_memory),
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
        async with running(*(self._watch for _ in range(self._options.watchers))):
            # That they all come at one moment is not what is measured.
            deadline = time.monotonic() + _OPENING_SEC
            while self._num_open < self._options.watchers and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            async with running(self._keep_asking, self._keep_posting):
                return await self.tokens_per_sec()

    async def figure(self, url: str, name: str) -> float:
        """The sum of one figure of a metrics page."""
        page = figures_of((await self._client.get(f"{url}/metrics")).text)
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
                    num_heard = 0
                    try:
                        async for line in response.aiter_lines():
                            num_heard += line.startswith("event:")
                            self._num_open += num_heard == 1 and line.startswith("event:")
                    finally:
                        self.num_events += num_heard
                        self._num_open -= num_heard > 0
            except httpx.TransportError:
                self.num_broken += 1
            await asyncio.sleep(0.2)

    async def _watch_memory(self) -> None:
        while True:
            with suppress(httpx.TransportError):
                megabytes = await self.figure(self._service.url, _MEMORY) / 1e6
                self.memory.append((time.monotonic(), megabytes))
            await asyncio.sleep(1.0)
