"""One API process with a full store, a fleet of pretend workers, and a crowd of watchers.

Everything runs on this machine, the clients too: `cores` tells which process was busy, and so which
of them would be the first to hold the others up.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from api.submission.admission import admit
from bench.linux import cores_used
from bench.report import Figures, significant, tell
from bench.serve.crowd_service import Crowd, ended_job, running_crowd, until_ready
from bench.serve.raw_http import RawConnection
from bench.serve.timings import Timings, running
from jobs.record.request import JobRequest
from jobs.record.songs import plan_job
from jobs.store.scripts import index_key
from jukebox_core.models.catalog import ModelCard, ModelCatalog

_READY_SEC = 60.0
_QUEUED, _RUNNING, _SUCCEEDED = (
    index_key(status=status) for status in ("queued", "running", "succeeded")
)
_SINGLE_KINDS = ("post", "get", "list")


def measure_crowd(options: argparse.Namespace, folder: Path, model_dir: Path) -> Figures:
    """Fill the store, then one phase after the other, with the fleet at work all the time."""
    num_processes = options.worker_processes
    with running_crowd(options, folder, model_dir, num_processes=num_processes) as crowd:
        filled_sec = _fill(crowd, ModelCatalog(model_dir.parent).get(crowd.model), options.stored)
        return {
            "stored_jobs": options.stored,
            "filled_seconds": round(filled_sec, 1),
            "workers": options.workers,
            "tokens_per_sec_of_a_worker": options.worker_rate,
            **asyncio.run(_measure(crowd, options)),
        }


def _fill(crowd: Crowd, card: ModelCard, number: int) -> float:
    """Records of songs that have ended, written by the store's own calls. Returns seconds."""
    started = time.monotonic()
    request = JobRequest.model_validate(crowd.body() | {"mode": "ancestral"})
    template = admit(request, card, now=datetime.now(UTC))
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: ended_job(crowd.store, template), range(number)))
    crowd.ids += [job.id for job in jobs]
    crowd.num_stored = number
    plan = plan_job(template, card.config).plan
    crowd.windows_per_song = sum(len(level.windows) for level in plan.levels.values())
    return time.monotonic() - started


async def _measure(crowd: Crowd, options: argparse.Namespace) -> Figures:
    await until_ready(crowd)
    async with running(partial(_keep_fleet_busy, crowd, options.workers)):
        found: Figures = {"fleet_alone": await _fleet_alone(crowd, options)}
        tell(found)
        for kind in _SINGLE_KINDS:
            found[kind] = await _closed_loop(crowd, kind, options.window / 2, options.connections)
            tell({kind: found[kind]})
        found["watched"] = await _watched(crowd, options)
    return found


async def _keep_fleet_busy(crowd: Crowd, num_workers: int) -> None:
    """So many jobs wait that no worker is ever without one."""
    while True:
        num_queued = int(await asyncio.to_thread(crowd.redis.zcard, _QUEUED))
        # The service closes a connection on which nothing is asked for five seconds.
        async with crowd.connection() as connection:
            for _ in range(max(num_workers - num_queued, 0)):
                await _ask(crowd, connection, "post")
        await asyncio.sleep(0.5)


async def _fleet_alone(crowd: Crowd, options: argparse.Namespace) -> Figures:
    """What the fleet itself costs the server: per window that is kept, and per song."""
    while int(crowd.redis.zcard(_RUNNING)) < options.workers:
        await asyncio.sleep(0.2)
    async with _measured(crowd) as found:
        begun = _windows_done(crowd)
        await _until(options.window, lambda: _windows_done(crowd) > begun)
    return found


async def _until(seconds: float, has_come: Callable[[], bool]) -> None:
    """So long, and until there is something to tell of."""
    await asyncio.sleep(seconds)
    deadline = time.monotonic() + _READY_SEC
    while not has_come() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


async def _closed_loop(crowd: Crowd, kind: str, seconds: float, connections: int) -> Figures:
    """As many requests as connections can ask for one after the other, without watchers."""
    timings = Timings()

    async def keep_asking() -> None:
        end = time.monotonic() + seconds
        async with crowd.connection() as connection:
            while not timings.milliseconds or time.monotonic() < end:
                await timings.time(partial(_ask, crowd, connection, kind))

    async with _measured(crowd) as found:
        await asyncio.gather(*(keep_asking() for _ in range(connections)))
    summary = timings.summary()
    return {
        "connections": connections,
        "per_sec": round(summary["number"] / seconds, 1),
        **summary,
        "cores": found["cores"],
    }


async def _watched(crowd: Crowd, options: argparse.Namespace) -> Figures:
    """Everybody watches a song that runs, and somebody asks for this and that meanwhile."""
    watching = _Watching(crowd)
    timings = {kind: Timings() for kind in _SINGLE_KINDS}

    async def keep_asking(kind: str) -> None:
        async with crowd.connection() as connection:
            while True:
                await timings[kind].time(partial(_ask, crowd, connection, kind))
                await asyncio.sleep(1.0 / options.asks)

    async with running(watching.look_for_songs, *(watching.watch for _ in range(options.watchers))):
        await watching.all_open(options.watchers)
        watching.lags_ms.clear()
        async with (
            _measured(crowd) as found,
            running(*(partial(keep_asking, kind) for kind in timings)),
        ):
            await _until(options.window, lambda: bool(watching.lags_ms))
        lags, num_open = Timings(milliseconds=watching.lags_ms).summary(), watching.num_open
    return {
        "watchers": options.watchers,
        "open": num_open,
        "events_per_sec": significant(lags["number"] / found["seconds"]),
        "lag": {name: lags[name] for name in lags if name.endswith("_ms")},
        "broken_streams": watching.num_broken,
        **{kind: each.summary() for kind, each in timings.items()},
        **found,
    }


class _Watching:
    """Streams of events of songs that run."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._songs: list[str] = []
        self._turn = 0
        self.num_open = self.num_broken = 0
        self.lags_ms: list[float] = []

    async def look_for_songs(self) -> None:
        """Which songs run, asked again and again."""
        while True:
            self._songs = await asyncio.to_thread(self._crowd.redis.zrange, _RUNNING, 0, -1)  # type: ignore[arg-type]
            await asyncio.sleep(0.5)

    async def all_open(self, number: int) -> None:
        """Wait until nearly all streams are open; those of songs that end open anew."""
        deadline = time.monotonic() + _READY_SEC
        while self.num_open < 0.97 * number and time.monotonic() < deadline:
            await asyncio.sleep(0.1)

    async def watch(self) -> None:
        """One stream after the other."""
        while True:
            if not self._songs:
                await asyncio.sleep(0.1)
                continue
            self._turn += 1
            try:
                async with self._crowd.connection() as connection:
                    await self._follow(connection, self._songs[self._turn % len(self._songs)])
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.num_broken += 1

    async def _follow(self, connection: RawConnection, job_id: str) -> None:
        kind = b""
        is_open = False
        try:
            async for line in connection.lines(f"/jobs/{job_id}/events"):
                if not is_open:
                    is_open = True
                    self.num_open += 1
                if line.startswith(b"event: "):
                    kind = line[7:]
                elif line.startswith(b"id: ") and kind == b"progress":
                    self.lags_ms.append(time.time() * 1e3 - int(line[4:].partition(b"-")[0]))
        finally:
            self.num_open -= is_open


async def _ask(crowd: Crowd, connection: RawConnection, kind: str) -> Any:  # noqa: ANN401
    if kind == "post":
        answer = await connection.ask("POST", "/jobs", crowd.body())
        if answer.status == 202:
            crowd.ids.append(answer.json()["id"])
        return answer
    if kind == "get":
        return await connection.ask("GET", f"/jobs/{random.choice(crowd.ids)}")
    return await connection.ask("GET", "/jobs?limit=20")


@asynccontextmanager
async def _measured(crowd: Crowd) -> AsyncIterator[Figures]:
    """Fills in what happened while the block ran: processors, memory, commands and bytes."""
    found: Figures = {}
    usage, server, done = crowd.usage(), _server_figures(crowd), _windows_done(crowd)
    started = time.monotonic()
    yield found
    spent_sec = time.monotonic() - started
    usage_after, server_after = crowd.usage(), _server_figures(crowd)
    windows = _windows_done(crowd) - done
    songs = windows / crowd.windows_per_song
    per_sec = {name: (server_after[name] - server[name]) / spent_sec for name in server}
    found |= {
        "seconds": round(spent_sec, 1),
        "cores": cores_used(usage, usage_after, spent_sec),
        "resident_mb": {n: round(u.resident_bytes / 1e6, 1) for n, u in usage_after.items()},
        "songs_per_sec": round(songs / spent_sec, 2),
        "windows_per_sec": round(windows / spent_sec, 1),
        "server_per_sec": {name: round(value) for name, value in per_sec.items()},
    }
    if windows:
        found["per_window"] = {n: round(v * spent_sec / windows, 1) for n, v in per_sec.items()}
        found["per_song"] = {n: round(v * spent_sec / songs) for n, v in per_sec.items()}


def _windows_done(crowd: Crowd) -> int:
    """Windows that the fleet has kept by now, those of songs that run included."""
    ended = int(crowd.redis.zcard(_SUCCEEDED)) - crowd.num_stored
    running_ids: Any = crowd.redis.zrange(_RUNNING, 0, -1)
    jobs = [crowd.store.get(job_id) for job_id in running_ids]
    under_way = sum(level.windows_done for job in jobs for level in job.progress.values())
    return ended * crowd.windows_per_song + under_way


def _server_figures(crowd: Crowd) -> dict[str, float]:
    """Round trips, commands (those that scripts run included), and bytes in and out."""
    stats: Any = crowd.redis.info("stats")
    commands: Any = crowd.redis.info("commandstats")
    calls = Counter({name: figures["calls"] for name, figures in commands.items()})
    return {
        "scripts": calls["cmdstat_evalsha"],
        "commands": stats["total_commands_processed"],
        "bytes_in": stats["total_net_input_bytes"],
        "bytes_out": stats["total_net_output_bytes"],
    }
