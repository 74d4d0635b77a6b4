"""A server and an API, and processes of pretend workers, for many clients."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from bench.linux import Usage, usage_of
from bench.serve.raw_http import RawConnection
from bench.serve.service import ServiceProcesses, song_request
from jobs.record.job import Job, Output, Stage, new_job_id
from jobs.store import JobStore

_READY_SEC = 60.0
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
        return song_request(self.model, 10.0, next(self.seeds))


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
    with ExitStack() as stack:
        limits = {"JUKEBOX_LIMITS": _LIMITS, **(settings or {})}
        processes = ServiceProcesses(stack, folder, model_dir.parent, limits)
        server = processes.server
        pids = {"server": server.pid, "api": processes.api.pid, "clients": os.getpid()}
        for number in range(num_processes):
            name = f"workers {number}"
            arguments = ["--workers", str(-(-options.workers // num_processes))]
            arguments += ["--tokens-per-sec", str(options.worker_rate)]
            more = {"JUKEBOX_WORKER_NAME": name.replace(" ", "-")}
            pids[name] = processes.start("bench.serve.pretend", name, more, *arguments).pid
        store = JobStore(server.url)
        stack.callback(store.close)
        client = redis.Redis.from_url(server.url, decode_responses=True)
        stack.callback(client.close)
        yield Crowd(
            url=processes.url,
            redis_url=server.url,
            model=model_dir.name,
            store=store,
            redis=client,
            pids=pids,
            seeds=iter(range(1, sys.maxsize)),
        )


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
