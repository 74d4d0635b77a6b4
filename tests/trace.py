"""The calls from `POST /jobs` to the first matrix product: `python -m tests.trace` prints them.

One job goes through the real API, store and worker parts in this process. Counted is every function
of this project that is on the stack when something is handed over: the request, from its endpoint
on, to the store; the first window to the engine thread (these are the two borders); and that window
to torch. What is called beside the way and has returned by then does not count.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from anyio import to_thread

from cli.local.embedded_redis import EmbeddedRedis
from jobs.record.job import Stage
from jobs.store import JobStore
from jukebox_core.tiny import write_tiny
from tests.api.conftest import serving
from worker.app import build_parts
from worker.device.engine_thread import EngineThread
from worker.settings import WorkerSettings
from worker.tasks import run_song

PACKAGES = ("api", "jobs", "worker", "jukebox_core")
PRODUCTS = frozenset({"addmm", "mm", "bmm", "baddbmm", "matmul", "linear", "conv1d", "einsum"})


@dataclass(slots=True)
class Trace:
    """Named calls of each part of the way, outermost first; empty until it was gone."""

    request: list[str] = field(default_factory=list)
    task: list[str] = field(default_factory=list)
    engine: list[str] = field(default_factory=list)

    @property
    def num_calls(self) -> int:
        return len(self.request) + len(self.task) + len(self.engine)

    def __str__(self) -> str:
        parts = {
            "from the request to the record": self.request,
            "from the message to the engine thread": self.task,
            "from the engine thread to the first matrix product": self.engine,
        }
        lines = [f"{self.num_calls} calls, 2 borders"]
        for title, calls in parts.items():
            lines += [f"\n{title}: {len(calls)}", *(f"  {call}" for call in calls)]
        return "\n".join(lines)


def named_calls(frame: FrameType | None) -> list[str]:
    """Functions of this project on the stack of `frame`, outermost first."""
    calls = []
    while frame is not None:
        package, code = frame.f_globals.get("__name__", ""), frame.f_code
        if package.partition(".")[0] in PACKAGES and not code.co_name.startswith("<"):
            calls.append(f"{package}.{code.co_qualname}")
        frame = frame.f_back
    return calls[::-1]


def _name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


@contextmanager
def watching(trace: Trace) -> Iterator[None]:
    """Notes the stacks while it lasts; threads must be started inside."""
    create, draw, run_sync = JobStore.create, EngineThread.draw, to_thread.run_sync
    in_loop: list[str] = []

    def noted_run_sync(*given: Any, **options: Any) -> Any:
        in_loop[:] = named_calls(sys._getframe(1))
        return run_sync(*given, **options)

    def noted_create(*given: Any, **options: Any) -> Any:
        endpoint = [call for call in in_loop if call.startswith("api.routes.")]
        trace.request = [*endpoint, *named_calls(sys._getframe(1)), _name_of(create)]
        return create(*given, **options)

    def noted_draw(*given: Any, **options: Any) -> Any:
        if not trace.task:
            trace.task = [*named_calls(sys._getframe(1)), _name_of(draw)]
        return draw(*given, **options)

    def look(frame: FrameType, event: str, function: Any) -> None:
        is_product = event == "c_call" and getattr(function, "__name__", "") in PRODUCTS
        if is_product and not trace.engine and threading.current_thread().name == "engine":
            trace.engine = named_calls(frame)

    JobStore.create, EngineThread.draw = noted_create, noted_draw
    to_thread.run_sync = noted_run_sync
    threading.setprofile(look)
    try:
        yield
    finally:
        threading.setprofile(None)
        JobStore.create, EngineThread.draw = create, draw
        to_thread.run_sync = run_sync


async def trace_of_one_song(redis_url: str, models_dir: Path, data_dir: Path) -> Trace:
    """One short draft of `tiny`, with the step in torch, which calls the most."""
    trace = Trace()
    with watching(trace):
        async with serving(redis_url, models_dir, data_dir) as service:
            job = await service.post(levels=["top"], duration_seconds=0.2)
        worker = build_parts(
            WorkerSettings(
                redis_url=redis_url,
                data_dir=data_dir,
                models_dir=models_dir,
                device="cpu",
                backend="torch",
                worker_name="traced",
            )
        )
        worker.engine.start()
        try:
            await asyncio.to_thread(run_song, worker, job["id"], Stage.TOP)
        finally:
            worker.engine.stop()
            worker.engine.join(60)
    return trace


def main() -> None:
    """Print the trace of one song."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder) / "redis")
        server.start()
        try:
            write_tiny(Path(folder) / "models" / "tiny")
            trace = asyncio.run(
                trace_of_one_song(server.url, Path(folder) / "models", Path(folder) / "data")
            )
        finally:
            server.stop()
    sys.stdout.write(f"{trace}\n")


if __name__ == "__main__":
    main()
