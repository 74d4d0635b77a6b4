"""What does the service add to the library, and how does it answer under load?

`python -m bench.serve [batch] [overhead] [load]`; see `bench/README.md`.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.machine import add_parts, cpu_name, tell
from bench.serve.crowd import measure_crowd
from bench.serve.load import measure_load
from bench.serve.retention import measure_retention
from bench.serve.service import Figures, running_service
from bench.serve.songs import measure_batch, measure_overhead
from cli.local.signals import StopSignals
from jukebox_core.models.catalog import locate_model
from jukebox_core.tiny import write_tiny

_MEASURES = {"batch": measure_batch, "overhead": measure_overhead, "load": measure_load}
PARTS = (*_MEASURES, "crowd", "retention")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    options = _parser().parse_args(arguments)
    if options.quick:
        small = {"seconds": 1.5, "songs": 3, "repeats": 1, "rounds": 1, "jobs": 40}
        vars(options).update(small | {"watchers": 10, "window": 3.0})
    found: Figures = {"machine": cpu_name(), "cores": os.cpu_count()}
    found |= {name: getattr(options, name) for name in ("backend", "weights", "library_threads")}
    with (
        StopSignals().listening(),  # what was started is ended, whoever stops this
        tempfile.TemporaryDirectory(prefix="jukebox-serve") as name,
    ):
        model_dir = options.model or Path(name) / "models" / "tiny"
        if options.model is None:
            write_tiny(model_dir)
        found["model"] = model_dir.name
        if "crowd" in options.parts:
            (Path(name) / "crowd").mkdir()
            found["crowd"] = measure_crowd(options, Path(name) / "crowd", model_dir)
        if "retention" in options.parts:
            (Path(name) / "retention").mkdir()
            found["retention"] = measure_retention(options, Path(name) / "retention", model_dir)
        for part in [part for part in _MEASURES if part in options.parts]:
            with running_service(Path(name) / part, model_dir, options) as service:
                found[part] = _MEASURES[part](service, options)
    tell(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.serve", description=__doc__)
    add_parts(parser, PARTS)
    parser.add_argument(
        "--model", type=locate_model, help="model directory, or `mini`; a fresh `tiny` if left out"
    )
    parser.add_argument("--backend", choices=("auto", "torch", "native"), default="auto")
    parser.add_argument("--weights", choices=("full", "int8"), default="full")
    parser.add_argument("--library-threads", type=int, default=1, help="more with free cores only")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a song")
    parser.add_argument("--songs", type=int, default=8, help="of `batch`, at once")
    parser.add_argument("--repeats", type=int, default=3, help="of `overhead`")
    parser.add_argument("--rounds", type=int, default=3, help="of `batch` and `load`")
    parser.add_argument("--jobs", type=int, default=1000, help="of `load`, queued at once")
    parser.add_argument("--watchers", type=int, default=200, help="of `load`: streams of events")
    parser.add_argument("--window", type=float, default=60.0, help="of `load`: seconds")
    parser.add_argument("--stored", type=int, default=9000, help="of `crowd`: songs in the store")
    parser.add_argument("--workers", type=int, default=64, help="of `crowd`: pretend workers")
    parser.add_argument("--worker-processes", type=int, default=2, help="of `crowd`")
    parser.add_argument(
        "--worker-rate", type=float, default=500.0, help="of `crowd`: tokens a second each"
    )
    parser.add_argument("--retained", type=int, default=100_000, help="of `retention`: jobs")
    parser.add_argument(
        "--connections", type=int, default=16, help="of `crowd` and `retention`: that ask at once"
    )
    parser.add_argument("--asks", type=float, default=10.0, help="of `crowd`: a kind and second")
    parser.add_argument("--quick", action="store_true", help="small figures, for a test")
    return parser


if __name__ == "__main__":
    main()
