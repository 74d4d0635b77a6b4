"""One API process with a full store, a fleet of pretend workers, and a crowd of watchers.

Everything runs on this machine, the clients too: `cores` tells which process was busy, and so which
of them would be the first to hold the others up.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from api.submission.admission import admit
from bench.machine import tell
from bench.serve.processes import Usage, cores_used, usage_of
from bench.serve.raw_http import RawConnection
from bench.serve.service import Figures
from bench.serve.timings import Timings, running
from cli.local.embedded_redis import EmbeddedRedis
from cli.local.processes import ChildProcess
from cli.local.stack import StackSettings, free_port
from jobs.record.job import Job, Output, Stage, new_job_id
from jobs.record.request import JobRequest
from jobs.record.songs import plan_job
from jobs.store import JobStore
from jobs.store.scripts import index_key
from jukebox_core.child_processes import python_command
from jukebox_core.models.catalog import ModelCard, ModelCatalog

_ARTISTS = ("The Sawtooths", "Nobody")
_READY_SEC = 60.0
_QUEUED, _RUNNING, _SUCCEEDED = (
    index_key(status=status) for status in ("queued", "running", "succeeded")
)
_BENCH_PATH = {"PYTHONPATH": str(Path(__file__).parents[2])}
"""The bench is no package that is installed."""
_SINGLE_KINDS = ("post", "get", "list")
_LIMITS = "max_queued=0,max_streams=0,max_requests_per_minute=0,max_posts_per_minute=0"


@dataclass(slots=True)
class Crowd:
    """The service under measurement, and who is near it."""

    url: str
    redis_url: str
    model: str
    store: JobStore
    redis: "redis.Redis"
    pids: Mapping[str, int]
    seeds: Iterator[int]
    windows_per_song: int = 0
    num_stored: int = 0
    ids: list[str] = field(default_factory=list)

    def usage(self) -> dict[str, Usage]:
        """Of every process, and of the clients, which are this one."""
        return {name: usage_of(pid) for name, pid in self.pids.items()}

    def connection(self) -> RawConnection:
        """To the API, not yet open."""
        address = urlsplit(self.url)
        return RawConnection(str(address.hostname), int(address.port or 80))

    def body(self) -> dict[str, Any]:
        """Ten seconds of three levels, another song each time."""
        return {
            "model": self.model,
            "artist": _ARTISTS[0],
            "genre": "drone",
            "lyrics": "hello hello is anybody there",
            "duration_seconds": 10.0,
            "seed": next(self.seeds),
        }


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


@contextmanager
def running_crowd(
    options: argparse.Namespace,
    folder: Path,
    model_dir: Path,
    *,
    settings: Mapping[str, str] | None = None,
    num_processes: int = 0,
) -> Iterator[Crowd]:
    """Server, API with some settings, and so many processes of pretend workers."""
    stack_settings = StackSettings(
        data_dir=folder, models_dir=model_dir.resolve().parent, port=free_port(), isolated=True
    )
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(folder))
        limits = {"JUKEBOX_LIMITS": _LIMITS, **(settings or {})}
        api = _child("api", stack_settings, server.url, limits)
        stack.callback(api.wait_or_kill, 0.0)
        pids = {"server": server.pid, "api": api.pid, "clients": os.getpid()}
        for number in range(num_processes):
            name = f"workers {number}"
            arguments = ["--workers", str(-(-options.workers // num_processes))]
            arguments += ["--tokens-per-sec", str(options.worker_rate)]
            more = {"JUKEBOX_WORKER_NAME": name.replace(" ", "-")}
            child = _child("bench.serve.pretend", stack_settings, server.url, more, *arguments)
            stack.callback(child.wait_or_kill, 0.0)
            stack.callback(child.ask_to_stop)
            pids[name] = child.pid
        store = JobStore(server.url)
        stack.callback(store.close)
        client = redis.Redis.from_url(server.url, decode_responses=True)
        stack.callback(client.close)
        yield Crowd(
            url=stack_settings.url,
            redis_url=server.url,
            model=model_dir.name,
            store=store,
            redis=client,
            pids=pids,
            seeds=iter(range(1, sys.maxsize)),
        )


def _child(
    module: str,
    settings: StackSettings,
    redis_url: str,
    more: Mapping[str, str],
    *arguments: str,
) -> ChildProcess:
    kind = "api" if module == "api" else "worker"
    environment = settings.environment(kind, redis_url) | _BENCH_PATH | dict(more)
    command = python_command(module)
    log_path = settings.data_dir / f"{more.get('JUKEBOX_WORKER_NAME', kind)}.log"
    return ChildProcess(module, [*command, *arguments], env=environment, log_path=log_path)


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


def ended_job(store: JobStore, template: Job) -> Job:
    """A job like this one, with an id of its own, that has succeeded by now."""
    job_id = new_job_id()
    job = store.create(replace(template, id=job_id, root_id=job_id))
    end_job(store, job_id)
    return job


def end_job(store: JobStore, job_id: str) -> None:
    """Let a job that waits succeed, with outputs for all of its levels."""
    claim = store.claim(job_id, Stage.TOP, worker="filler", lease_sec=60.0)
    if claim is None:
        raise RuntimeError(f"{job_id} was claimed by somebody else")
    job = claim.job
    store.record_outputs(claim, [_output(level, job) for level in job.request.levels])
    store.succeed(claim)


def _output(level: str, job: Job) -> Output:
    return Output(
        name=f"{level}-00-fence000001.wav",
        level=level,
        sample=0,
        duration_sec=job.duration_sec,
        sample_rate_hz=16_000,
        num_bytes=1_000_000,
        sha256="0" * 64,
    )


# ---- the phases ----


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


async def until_ready(crowd: Crowd) -> None:
    """Until the API answers. Raises TimeoutError."""
    deadline = time.monotonic() + _READY_SEC
    while time.monotonic() < deadline:
        try:
            async with crowd.connection() as connection:
                if (await connection.ask("GET", "/healthz")).status == 200:
                    return
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.2)
    raise TimeoutError(f"the API did not answer within {_READY_SEC:.0f} s")


async def _keep_fleet_busy(crowd: Crowd, num_workers: int) -> None:
    """So many jobs wait that no worker is ever without one."""
    async with crowd.connection() as connection:
        while True:
            num_queued = int(await asyncio.to_thread(crowd.redis.zcard, _QUEUED))
            for _ in range(max(num_workers - num_queued, 0)):
                await _ask(crowd, connection, "post")
            await asyncio.sleep(0.5)


async def _fleet_alone(crowd: Crowd, options: argparse.Namespace) -> Figures:
    """What the fleet itself costs the server: per window that is kept, and per song."""
    while _num_running(crowd) < options.workers:
        await asyncio.sleep(0.2)
    async with _measured(crowd, options.window) as found:
        await asyncio.sleep(options.window)
    return found


def _num_running(crowd: Crowd) -> int:
    return int(crowd.redis.zcard(_RUNNING))


async def _closed_loop(crowd: Crowd, kind: str, seconds: float, connections: int) -> Figures:
    """As many requests as connections can ask for one after the other, without watchers."""
    timings, end = Timings(), time.monotonic() + seconds

    async def keep_asking() -> None:
        async with crowd.connection() as connection:
            while time.monotonic() < end:
                await timings.time(partial(_ask, crowd, connection, kind))

    async with _measured(crowd, seconds) as found:
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
            _measured(crowd, options.window) as found,
            running(*(partial(keep_asking, kind) for kind in timings)),
        ):
            await asyncio.sleep(options.window)
        lags, num_open = Timings(milliseconds=watching.lags_ms).summary(), watching.num_open
    return {
        "watchers": options.watchers,
        "open": num_open,
        "events_per_sec": round(lags["number"] / options.window, 1),
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
async def _measured(crowd: Crowd, seconds: float) -> AsyncIterator[Figures]:
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
