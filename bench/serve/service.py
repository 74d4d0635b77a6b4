"""One server, one worker and one API for a part of a measurement, and their figures."""

import argparse
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server, a worker and an API of one part alone, so that none inherits a queue."""

    url: str
    worker_url: str
    model_dir: Path

    def request(self, seconds: float, seed: int, **others: object) -> Figures:
        """One song; seeds tell songs apart."""
        return {
            "model": self.model_dir.name,
            "artist": "The Sawtooths",
            "genre": "drone",
            "lyrics": "hello hello is anybody there",
            "duration_seconds": seconds,
            "seed": seed,
            **others,
        }


@contextmanager
def running_service(
    data_dir: Path, model_dir: Path, options: argparse.Namespace
) -> Iterator[Service]:
    """A service of its own, until the block ends."""
    data_dir.mkdir()
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


def worker_figures(service: Service) -> dict[str, float]:
    """Every figure on the worker's page for Prometheus."""
    return figures_of(httpx.get(f"{service.worker_url}/metrics", trust_env=False).text)


def figures_of(page: str) -> dict[str, float]:
    """Every figure on a page for Prometheus, by its name with its labels."""
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def median(values: Iterator[float] | Sequence[float]) -> float:
    """Rounded, for people."""
    return round(statistics.median(values), 4)
