"""How long until a worker takes jobs, and until its first token? Cold and warm."""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from bench.linux import evict
from bench.report import Figures
from bench.serve.service import ServiceProcesses
from cli.local.processes import ChildProcess
from jukebox_client import Job, JukeboxClient

_SONG = {"artist": "", "genre": "", "duration_seconds": 10}
_POLL_SEC = 0.01
_PATIENCE_SEC = 300.0


def measure_start(options: argparse.Namespace, folder: Path, model_dir: Path) -> Figures:
    """Seconds from the start of the process; a job waits for it already.

    Cold: torch and the model were put out of the page cache before.
    """
    needed = [*_files_below(Path(torch.__file__).parent), *_files_below(model_dir)]
    runs: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    with ExitStack() as stack:
        processes = ServiceProcesses(stack, folder, model_dir.parent)
        client = stack.enter_context(JukeboxClient(processes.url))
        _wait_until(client.is_ready, processes.api)
        for turn in range(options.repeats):
            evict(needed)
            for kind, done in runs.items():
                job = client.create_job(_SONG | {"model": model_dir.name})
                settings = {
                    "JUKEBOX_WORKER_NAME": f"{kind}-{turn}",
                    "JUKEBOX_DEVICE": options.device,
                    "JUKEBOX_TUNING": "heartbeat_sec=0.05",
                }
                started = time.monotonic()
                worker = processes.start("worker", f"{kind}-{turn}", settings)
                done.append(_first_moments(client, job.id, worker, started))
    return {"device": options.device} | {
        f"{kind}_{what}_seconds": round(statistics.median(seconds), 3)
        for kind, pairs in runs.items()
        for what, seconds in zip(("ready", "first_token"), zip(*pairs, strict=True), strict=True)
    }


def _first_moments(
    client: JukeboxClient, job_id: str, worker: ChildProcess, started: float
) -> tuple[float, float]:
    """Seconds until the worker takes jobs, and until the first token; then it is ended."""

    def is_announced() -> bool:
        # The worker before it is told of for ten seconds after its end.
        return worker.name in [each.name for each in client.get_system().workers]

    _wait_until(is_announced, worker)
    ready_sec = time.monotonic() - started
    _wait_until(lambda: _has_begun(client.get_job(job_id)), worker)
    first_token_sec = time.monotonic() - started
    client.cancel_job(job_id)
    worker.ask_to_stop()
    worker.wait_or_kill(time.monotonic() + 15.0)
    return ready_sec, first_token_sec


def _has_begun(job: Job) -> bool:
    return any(level.tokens_done for level in job.progress.levels)


def _wait_until(is_so: Callable[[], bool], process: ChildProcess) -> None:
    deadline = time.monotonic() + _PATIENCE_SEC
    while not is_so():
        if process.exit_status() is not None:
            raise RuntimeError(f"the {process.name} ended:\n{process.last_lines()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing came within {_PATIENCE_SEC:.0f} s")
        time.sleep(_POLL_SEC)


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
