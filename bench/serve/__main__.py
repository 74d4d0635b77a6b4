"""What does the service add to the library, how does it answer under load, does anything grow?

`python -m bench.serve [PART ...]`; see `bench/README.md`.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.commands import add_parts
from bench.machine import describe_machine
from bench.report import Figures, tell
from bench.serve.crowd import measure_crowd
from bench.serve.live import measure_live
from bench.serve.load import measure_load
from bench.serve.retention import measure_retention
from bench.serve.service import running_service
from bench.serve.songs import measure_batch, measure_overhead
from bench.serve.start import measure_start
from cli.local.signals import StopSignals
from jukebox_core.models.catalog import locate_model
from jukebox_core.tiny import write_tiny

_OF_ONE_WORKER = {
    "batch": measure_batch,
    "overhead": measure_overhead,
    "live": measure_live,
    "load": measure_load,
}
"""Of one service, one after the other. The last leaves a queue behind."""
_ALONE = {"start": measure_start, "crowd": measure_crowd, "retention": measure_retention}
_QUICK = {
    **{"seconds": 0.6, "songs": 2, "repeats": 1, "rounds": 1, "jobs": 40, "listeners": 2},
    **{"watchers": 10, "window": 1.0},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    options = _parser().parse_args(arguments)
    if options.quick:
        vars(options).update(_QUICK)
    found: Figures = describe_machine()
    found |= {name: getattr(options, name) for name in ("backend", "weights", "library_threads")}
    with (
        StopSignals().listening(),  # what was started is ended, whoever stops this
        tempfile.TemporaryDirectory(prefix="jukebox-serve", dir=options.folder) as name,
    ):
        model_dir = options.model or Path(name) / "models" / "tiny"
        if options.model is None:
            write_tiny(model_dir)
        found["model"] = model_dir.name
        for part in [part for part in _ALONE if part in options.parts]:
            found[part] = _ALONE[part](options, _new(Path(name) / part), model_dir)
        if shared := [part for part in _OF_ONE_WORKER if part in options.parts]:
            with running_service(_new(Path(name) / "one"), model_dir, options) as service:
                for part in shared:
                    found[part] = _OF_ONE_WORKER[part](service, options)
    tell(found)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.serve", description=__doc__)
    add_parts(parser, (*_OF_ONE_WORKER, *_ALONE))
    parser.add_argument(
        "--model", type=locate_model, help="model directory, or `mini`; a fresh `tiny` if left out"
    )
    parser.add_argument("--backend", choices=("auto", "torch", "native"), default="auto")
    parser.add_argument("--weights", choices=("full", "int8"), default="full")
    parser.add_argument("--library-threads", type=int, default=1, help="more with free cores only")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a song")
    parser.add_argument("--songs", type=int, default=8, help="of `batch`, at once")
    parser.add_argument("--repeats", type=int, default=3, help="of `overhead`, `live`, `start`")
    parser.add_argument("--rounds", type=int, default=3, help="of `batch` and `load`")
    parser.add_argument("--listeners", type=int, default=4, help="of `live`: of one song")
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
    parser.add_argument("--device", default="cpu", help="of `start`: the worker's")
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--quick", action="store_true", help="small figures, for a test")
    return parser


if __name__ == "__main__":
    main()
