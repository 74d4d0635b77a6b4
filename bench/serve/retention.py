"""Does anything grow while a hundred thousand jobs come and go?

Jobs end as fast as processes can write them, and are kept for seconds instead of days; some are
posted, canceled and looked at through the API, whose sweeper forgets them all.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.submission.admission import admit
from bench.serve.crowd import Crowd, ended_job, running_crowd, until_ready
from bench.serve.load import memory_summary
from bench.serve.processes import usage_of
from bench.serve.service import Figures
from bench.serve.timings import running
from jobs.record.job import Job
from jobs.record.request import JobRequest
from jobs.store import JobStore
from jukebox_core.models.catalog import ModelCatalog

_KEPT_SEC = 10.0
_CHUNK = 250
_ASK_EVERY_SEC = 0.2
_SETTINGS = {"JUKEBOX_RETENTION": f"keep_jobs_sec={_KEPT_SEC:g},keep_trash_sec=5"}


def measure_retention(options: argparse.Namespace, folder: Path, model_dir: Path) -> Figures:
    """So many jobs, one after the other; memory of the API and of the server meanwhile."""
    with running_crowd(options, folder, model_dir, settings=_SETTINGS) as crowd:
        return asyncio.run(_measure(crowd, options, folder, model_dir))


async def _measure(
    crowd: Crowd, options: argparse.Namespace, folder: Path, model_dir: Path
) -> Figures:
    await until_ready(crowd)
    watching = _Memory(crowd)
    started = time.monotonic()
    # A process each for what would hold the clients up.
    with ProcessPoolExecutor(
        options.worker_processes, multiprocessing.get_context("spawn")
    ) as pool:
        async with running(watching.watch, lambda: _use_the_api(crowd)):
            num_chunks = options.retained // _CHUNK
            loop = asyncio.get_running_loop()
            arguments = (crowd.redis_url, folder, model_dir, crowd.body())
            await asyncio.gather(
                *(loop.run_in_executor(pool, write_jobs, *arguments) for _ in range(num_chunks))
            )
            written_sec = time.monotonic() - started
            await _until_forgotten(crowd)
            ended_sec = time.monotonic() - started
            await asyncio.sleep(5.0)
    return {
        "jobs": num_chunks * _CHUNK,
        "kept_seconds": _KEPT_SEC,
        "written_per_sec": round(num_chunks * _CHUNK / written_sec, 1),
        "forgotten_after_sec": round(ended_sec - written_sec, 1),
        "most_jobs": max(watching.num_jobs),
        "left": {
            "jobs": watching.num_jobs[-1],
            "keys": int(crowd.redis.dbsize()),
            "folders": _folders(folder),
        },
        "api_memory": memory_summary(watching.api_mb[: watching.num_at(written_sec)]),
        "server_memory": memory_summary(watching.server_mb[: watching.num_at(written_sec)]),
        "series": [
            {
                "second": round(second),
                "api_mb": round(api, 1),
                "server_mb": round(server, 1),
                "jobs": number,
            }
            for (second, api), (_, server), number in zip(
                watching.api_mb, watching.server_mb, watching.num_jobs, strict=True
            )
        ][:: max(len(watching.num_jobs) // 60, 1)],
        "api_mb_at_end": round(watching.api_mb[-1][1], 1),
        "server_mb_at_end": round(watching.server_mb[-1][1], 1),
    }


def write_jobs(redis_url: str, folder: Path, model_dir: Path, body: Mapping[str, Any]) -> None:
    """Some jobs that end at once, each with a file; in a process of its own."""
    store = JobStore(redis_url)
    card = ModelCatalog(model_dir.parent).get(model_dir.name)
    request = JobRequest.model_validate(dict(body) | {"mode": "ancestral"})
    template = replace(admit(request, card, now=datetime.now(UTC)), kept_sec=_KEPT_SEC)
    with ThreadPoolExecutor(2) as pool:
        jobs: list[Job] = list(pool.map(lambda _: ended_job(store, template), range(_CHUNK)))
    for job in jobs:
        path = folder / "artifacts" / job.id
        path.mkdir(parents=True, exist_ok=True)
        (path / "sound.wav").write_bytes(bytes(1000))
    store.close()


async def _use_the_api(crowd: Crowd) -> None:
    """Post, cancel, look and list, as clients do."""
    async with crowd.connection() as connection:
        while True:
            answer = await connection.ask("POST", "/jobs", crowd.body())
            if answer.status == 202:
                path = f"/jobs/{answer.json()['id']}"
                for method, where in (("GET", path), ("POST", f"{path}/cancel"), ("GET", "/jobs")):
                    await connection.ask(method, where)
            # No worker takes the messages.
            await asyncio.to_thread(crowd.redis.delete, "jukebox.top")
            await asyncio.sleep(_ASK_EVERY_SEC)


async def _until_forgotten(crowd: Crowd) -> None:
    """Until no more jobs are there than the clients have just posted."""
    most = 3 * _KEPT_SEC / _ASK_EVERY_SEC
    while int(crowd.redis.zcard("jukebox:jobs")) > most:
        await asyncio.sleep(0.5)


class _Memory:
    """What is taken, second by second, and how many jobs there are."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._began = time.monotonic()
        self.api_mb: list[tuple[float, float]] = []
        self.server_mb: list[tuple[float, float]] = []
        self.num_jobs: list[int] = []

    async def watch(self) -> None:
        """Until canceled."""
        while True:
            now = time.monotonic() - self._began
            api = usage_of(self._crowd.pids["api"]).resident_bytes
            used: Any = await asyncio.to_thread(self._crowd.redis.info, "memory")
            self.api_mb.append((now, api / 1e6))
            self.server_mb.append((now, used["used_memory"] / 1e6))
            self.num_jobs.append(int(self._crowd.redis.zcard("jukebox:jobs")))
            await asyncio.sleep(1.0)

    def num_at(self, second: float) -> int:
        """Samples until then, at least some."""
        return max(sum(moment <= second for moment, _ in self.api_mb), 4)


def _folders(folder: Path) -> int:
    return sum(1 for _ in (folder / "artifacts").iterdir())
