"""The service under load: answers, memory, throughput, and what it costs beside the library.

See `bench/README.md`. `python -m bench.serve --help`, from the root of the repository.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import cpu_name
from bench.service_load import LoadPlan, measure_load
from bench.service_songs import SongPlan, measure_batch, measure_overhead
from cli.local.signals import StopSignals
from cli.local.stack import Stack, StackSettings, free_port, running_stack
from jukebox_core.models.catalog import locate_model
from jukebox_core.tiny import write_tiny

PARTS = ("batch", "overhead", "load")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print everything as JSON in the last line."""
    options = _parser().parse_args(arguments)
    songs = SongPlan(
        model="tiny" if options.model is None else options.model.name,
        duration_sec=1.5 if options.quick else options.seconds,
        num_songs=3 if options.quick else options.songs,
        repeats=1 if options.quick else options.repeats,
        rounds=1 if options.quick else options.rounds,
        step=options.step,
        weights=options.weights,
        library_threads=options.library_threads,
    )
    load = LoadPlan(
        model=songs.model,
        num_jobs=40 if options.quick else options.jobs,
        num_watchers=10 if options.quick else options.watchers,
        window_sec=3.0 if options.quick else options.window,
        rounds=1 if options.quick else options.rounds,
    )
    with tempfile.TemporaryDirectory(prefix="jukebox-serve") as name:
        models_dir = _models(Path(name), options.model)
        results = dict(_measure(options.parts, Path(name), models_dir, songs, load))
    machine = {"machine": cpu_name(), "cores": os.cpu_count()}
    told = (
        machine
        | {
            "model": songs.model,
            "step": songs.step,
            "weights": songs.weights,
            "library_threads": songs.library_threads,
        }
        | results
    )
    print(json.dumps(told, indent=2))
    print(json.dumps(told))


def _measure(
    parts: Sequence[str], folder: Path, models_dir: Path, songs: SongPlan, load: LoadPlan
) -> Iterator[tuple[str, Any]]:
    """Each part with a stack of its own, so that none inherits a queue."""
    if "batch" in parts:
        port = free_port()
        settings = _settings(songs, port)
        with _stack(folder / "batch", models_dir, **settings) as stack:
            yield "batch", measure_batch(stack.url, f"http://127.0.0.1:{port}", songs)
    if "overhead" in parts:
        port = free_port()
        settings = _settings(songs, port)
        with _stack(folder / "overhead", models_dir, **settings) as stack:
            worker_url, model_dir = f"http://127.0.0.1:{port}", models_dir / songs.model
            yield "overhead", measure_overhead(stack.url, worker_url, model_dir, songs)
    if "load" in parts:
        port = free_port()
        settings = {"JUKEBOX_METRICS_PORT": str(port), "JUKEBOX_LIMITS": "max_queued=0"}
        with _stack(folder / "load", models_dir, **settings) as stack:
            worker_url = f"http://127.0.0.1:{port}"
            yield "load", asyncio.run(measure_load(stack.url, worker_url, load))


def _settings(songs: SongPlan, metrics_port: int) -> dict[str, str]:
    return {
        "JUKEBOX_METRICS_PORT": str(metrics_port),
        "JUKEBOX_BACKEND": songs.step,
        "JUKEBOX_WEIGHTS": songs.weights,
    }


def _models(folder: Path, model: Path | None) -> Path:
    """A models folder with the model to be measured in it."""
    models_dir = folder / "models"
    if model is None:
        write_tiny(models_dir / "tiny")
    else:
        models_dir.mkdir()
        (models_dir / model.name).symlink_to(model.resolve(), target_is_directory=True)
    return models_dir


@contextmanager
def _stack(data_dir: Path, models_dir: Path, **settings: str) -> Iterator[Stack]:
    """Server, worker and API of this run alone; `settings` are of their environment."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    data_dir.mkdir()
    wanted = StackSettings(data_dir=data_dir, models_dir=models_dir, port=free_port())
    try:
        with running_stack(wanted, StopSignals()) as stack:
            yield stack
    finally:
        _restore(before)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.serve", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--model", type=locate_model, help="model directory, or `mini`; a fresh `tiny` if left out"
    )
    parser.add_argument(
        "--step",
        choices=("auto", "torch", "native"),
        default="auto",
        help="the backend; `auto`: as workers decide",
    )
    parser.add_argument("--weights", choices=("full", "int8"), default="full", help="of both sides")
    parser.add_argument(
        "--library-threads",
        type=int,
        default=1,
        help="of the library; more only with free cores",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a song")
    parser.add_argument("--songs", type=int, default=8, help="songs at once")
    parser.add_argument("--repeats", type=int, default=3, help="songs beside the library's")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs queued at once")
    parser.add_argument("--watchers", type=int, default=200, help="streams of events")
    parser.add_argument(
        "--window", type=float, default=60.0, help="seconds with, and without, load"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="of `batch` and `load`; 30 windows last an hour"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small figures in a minute, for a test"
    )
    return parser


if __name__ == "__main__":
    main()
