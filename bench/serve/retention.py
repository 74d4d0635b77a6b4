"""Does anything grow while a hundred thousand jobs come and go?

All of them are posted to the API, over connections that stay open. Most are ended at once by
processes in the place of workers; some are canceled, looked at and listed. They are kept for
seconds instead of days, and the API's sweeper forgets them all.
"""

import argparse
import asyncio
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.linux import usage_of
from bench.report import Figures, tell
from bench.serve.crowd_service import Crowd, end_job, running_crowd, until_ready
from bench.serve.load import memory_summary
from bench.serve.raw_http import RawConnection
from bench.serve.timings import running
from jobs.store import JobStore

_KEPT_SEC = 10.0
_CHUNK = 50
_MOST_STORED = 4000
"""Nobody posts while so many jobs are there, so that a service may be slow in forgetting them."""
_MILESTONES = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_SETTINGS = {"JUKEBOX_RETENTION": f"keep_jobs_sec={_KEPT_SEC:g},keep_trash_sec=5"}
_JOB_ID = re.compile(r"job_[0-9a-f]{32}")


def measure_retention(options: argparse.Namespace, folder: Path, model_dir: Path) -> Figures:
    """So many jobs, one after the other; memory of the API and of the server meanwhile."""
    with (
        running_crowd(options, folder, model_dir, settings=_SETTINGS) as crowd,
        # Processes of their own, as workers are.
        ProcessPoolExecutor(
            options.worker_processes, multiprocessing.get_context("spawn")
        ) as workers,
    ):
        return asyncio.run(_measure(_Run(crowd, workers, folder / "artifacts"), options))


async def _measure(run: "_Run", options: argparse.Namespace) -> Figures:
    await until_ready(run.crowd)
    async with running(run.watch):
        await run.post(options.retained, options.connections)
        posted_sec = run.seconds()
        await run.until_forgotten()
        forgotten_sec = run.seconds() - posted_sec
    series = run.series
    posting = [each for each in series if each["second"] <= posted_sec] + series[-4:]
    memory = {
        name: memory_summary([(each["second"], each[f"{name}_mb"]) for each in posting])
        for name in ("api", "server")
    }
    return {
        "jobs": run.num_posted,
        "kept_seconds": _KEPT_SEC,
        "posted_per_sec": round(run.num_posted / posted_sec, 1),
        "forgotten_after_sec": round(forgotten_sec, 1),
        "most_jobs": run.most_jobs,
        "milestones": run.milestones,
        "left": {**run.figures(), "keys": run.kinds_of_keys(), "folders": run.num_folders()},
        **{f"{name}_memory": summary for name, summary in memory.items()},
        "series": series[:: max(len(series) // 60, 1)],
    }


class _Run:
    """Clients that post, processes that end what was posted, and what is taken meanwhile."""

    def __init__(self, crowd: Crowd, workers: Executor, artifacts: Path) -> None:
        self.crowd, self._workers, self._artifacts = crowd, workers, artifacts
        self._began = time.monotonic()
        self.num_posted = self.most_jobs = 0
        self.series: list[Figures] = []
        self.milestones: list[Figures] = []

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    async def post(self, number: int, connections: int) -> None:
        """So many jobs, from the first to the last that has ended."""
        chunks = iter(range(number // _CHUNK))

        async def keep_posting() -> None:
            for _ in chunks:
                while self.figures()["jobs"] > _MOST_STORED:
                    await asyncio.sleep(0.2)
                # One that nobody uses while jobs end would be closed by the API.
                async with self.crowd.connection() as connection:
                    ids = await self._post_chunk(connection)
                self.most_jobs = max(self.most_jobs, self.figures()["jobs"])
                await self._end_chunk(ids)

        await asyncio.gather(*(keep_posting() for _ in range(connections)))

    async def until_forgotten(self) -> None:
        """Until no job is left, nor its trash."""
        while self.figures()["jobs"] or self.num_folders():
            await asyncio.sleep(0.5)

    async def watch(self) -> None:
        """Every second, until canceled."""
        while True:
            self.series.append({"second": round(self.seconds()), **self.figures()})
            await asyncio.sleep(1.0)

    def figures(self) -> Figures:
        """Megabytes of the API and the server now, and how many jobs there are."""
        api, server = (
            usage_of(self.crowd.pids[name]).resident_bytes / 1e6 for name in ("api", "server")
        )
        used: Any = self.crowd.redis.info("memory")
        return {
            "api_mb": round(api, 1),
            "server_mb": round(used["used_memory"] / 1e6, 1),
            "server_resident_mb": round(server, 1),
            "jobs": int(self.crowd.redis.zcard("jukebox:jobs")),
        }

    def kinds_of_keys(self) -> dict[str, int]:
        """How many keys of each name are there, whatever job they belong to."""
        names: Any = self.crowd.redis.scan_iter(count=1000)
        return dict(Counter(_JOB_ID.sub("JOB", name) for name in names))

    def num_folders(self) -> int:
        """Of jobs, with files or without."""
        return sum(1 for _ in self._artifacts.iterdir())

    async def _post_chunk(self, connection: RawConnection) -> list[str]:
        """Post some jobs, cancel one, look at it, and list some. Returns those that wait."""
        ids = []
        for _ in range(_CHUNK):
            answer = await connection.ask("POST", "/jobs", self.crowd.body())
            if answer.is_error:
                raise RuntimeError(f"the API answered {answer.status}: {answer.body[:200]!r}")
            ids.append(answer.json()["id"])
        path = f"/jobs/{ids.pop()}"
        for method, where in (("GET", path), ("POST", f"{path}/cancel"), ("GET", "/jobs")):
            await connection.ask(method, where)
        return ids

    async def _end_chunk(self, ids: list[str]) -> None:
        self.crowd.redis.delete("jukebox.top")  # no worker takes the messages
        arguments = (self.crowd.redis_url, self._artifacts, ids)
        await asyncio.get_running_loop().run_in_executor(self._workers, end_jobs, *arguments)
        self._count(_CHUNK)

    def _count(self, number: int) -> None:
        before, self.num_posted = self.num_posted, self.num_posted + number
        for milestone in _MILESTONES:
            if before < milestone <= self.num_posted:
                figures = {"posted": milestone, "second": round(self.seconds()), **self.figures()}
                self.milestones.append(figures)
                tell(figures)


def end_jobs(redis_url: str, artifacts: Path, job_ids: Sequence[str]) -> None:
    """Let jobs succeed, each with a file; in a process of its own."""
    store = JobStore(redis_url)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job_id: end_job(store, job_id), job_ids))
    for job_id in job_ids:
        (artifacts / job_id).mkdir(parents=True, exist_ok=True)
        (artifacts / job_id / "sound.wav").write_bytes(bytes(1000))
    store.close()
