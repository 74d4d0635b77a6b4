"""One server, one worker and one API for a part of a measurement, and their figures."""

import argparse
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import httpx

from bench.report import Figures
from cli.local.embedded_redis import EmbeddedRedis
from cli.local.processes import ChildProcess
from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_core.child_processes import python_command

_BENCH_PATH = {"PYTHONPATH": str(Path(__file__).parents[2])}
"""The bench is no package that is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, a worker and an API."""

    url: str
    worker_url: str
    model_dir: Path

    def request(self, seconds: float, seed: int, **others: object) -> Figures:
        """One song of its model."""
        return song_request(self.model_dir.name, seconds, seed) | others


def song_request(model: str, seconds: float, seed: int) -> Figures:
    """The body of `POST /jobs`; seeds tell songs apart."""
    return {
        "model": model,
        "artist": "The Sawtooths",
        "genre": "drone",
        "lyrics": "hello hello is anybody there",
        "duration_seconds": seconds,
        "seed": seed,
    }


@contextmanager
def running_service(
    data_dir: Path, model_dir: Path, options: argparse.Namespace
) -> Iterator[Service]:
    """A service of its own, until the block ends."""
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


def page_of(url: str) -> dict[str, float]:
    """Every figure that a process of the service tells Prometheus."""
    return figures_of(httpx.get(f"{url}/metrics", trust_env=False).text)


def figures_of(page: str) -> dict[str, float]:
    """Every figure on a page for Prometheus, by its name with its labels."""
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def median(values: Iterator[float] | Sequence[float]) -> float:
    """Rounded, for people."""
    return round(statistics.median(values), 4)


class ServiceProcesses:
    """A server and an API, and what a measurement starts beside them; nothing is started again.

    Settings of the environment are hidden from them, except the choice of device.
    """

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        models_dir: Path,
        api_settings: Mapping[str, str] | None = None,
    ) -> None:
        """Everything ends when `stack` is closed."""
        self._stack = stack
        self._settings = StackSettings(
            data_dir=folder, models_dir=models_dir.resolve(), port=free_port(), isolated=True
        )
        self.server = stack.enter_context(EmbeddedRedis(folder))
        self.url = self._settings.url
        self.api = self.start("api", "api", api_settings or {})

    def start(
        self, module: str, name: str, settings: Mapping[str, str], *arguments: str
    ) -> ChildProcess:
        """One more process, which writes a log of its name; the API, or some kind of worker."""
        kind = "api" if module == "api" else "worker"
        environment = self._settings.environment(kind, self.server.url) | _BENCH_PATH
        child = ChildProcess(
            name,
            [*python_command(module), *arguments],
            env=environment | dict(settings),
            log_path=self._settings.data_dir / f"{name}.log",
        )
        self._stack.callback(child.wait_or_kill, 0.0)
        self._stack.callback(child.ask_to_stop)
        return child
