"""How long until a worker's first token, and how fast is a prior loaded beside reading its file?

`python -m bench.start [worker] [loading]`; see `bench/README.md`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.machine import add_parts, describe_machine, tell, wait_for
from bench.priors import PRIORS, random_prior
from cli.local.embedded_redis import EmbeddedRedis
from cli.local.processes import ChildProcess
from cli.local.stack import StackSettings, free_port
from jukebox_client import Job, JukeboxClient
from jukebox_core.checkpoints.load import load_prior_of
from jukebox_core.checkpoints.native import prior_file, write_config, write_tensors
from jukebox_core.child_processes import python_command
from jukebox_core.models.released import released_config
from jukebox_core.tiny import write_tiny

PARTS = ("worker", "loading")
_BLOCK_BYTES = 2**24
_POLL_SEC = 0.01
_PATIENCE_SEC = 300.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    add_parts(parser, PARTS)
    parser.add_argument("--model", type=Path, help="model directory; a fresh `tiny` if left out")
    parser.add_argument("--prior", choices=PRIORS, default="upsampler", help="what is loaded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=os.environ.get("TMPDIR"), help="on the disk to measure")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = describe_machine(torch.device(options.device))
    with tempfile.TemporaryDirectory(prefix="jukebox-start", dir=options.folder) as name:
        if "worker" in options.parts:
            found["worker"] = measure_worker(Path(name), options)
        if "loading" in options.parts:
            found["loading"] = measure_loading(Path(name), options)
    tell(found)


def measure_worker(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of the process; a job waits for it already.

    Cold: torch and the model were put out of the page cache before.
    """
    model_dir = options.model or folder / "models" / "tiny"
    if options.model is None:
        write_tiny(model_dir)
    needed = [*_files_below(Path(torch.__file__).parent), *_files_below(model_dir)]
    runs: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    with _service(folder, model_dir.resolve().parent) as (client, environment):
        environment |= {"JUKEBOX_DEVICE": options.device, "JUKEBOX_TUNING": "heartbeat_sec=0.05"}
        for _ in range(options.repeats):
            evict(needed)
            for done in runs.values():
                done.append(_start_worker(client, environment, folder, model_dir.name))
    return {"model": model_dir.name} | {
        f"{kind}_{what}_seconds": round(statistics.median(seconds), 3)
        for kind, pairs in runs.items()
        for what, seconds in zip(("ready", "first_token"), zip(*pairs, strict=True), strict=True)
    }


@contextmanager
def _service(folder: Path, models_dir: Path) -> Iterator[tuple[JukeboxClient, dict[str, str]]]:
    """A server and an API without a worker; the environment that a worker needs."""
    data_dir = folder / "data"
    data_dir.mkdir()
    settings = StackSettings(
        data_dir=data_dir, models_dir=models_dir, port=free_port(), isolated=True
    )
    with EmbeddedRedis(data_dir) as server:
        environment = settings.environment("api", server.url)
        api = ChildProcess(
            "api", python_command("api"), env=environment, log_path=folder / "api.log"
        )
        try:
            with JukeboxClient(settings.url) as client:
                _wait_until(client.is_ready, api)
                yield client, settings.environment("worker", server.url)
        finally:
            _stop(api)


def _start_worker(
    client: JukeboxClient, environment: dict[str, str], folder: Path, model: str
) -> tuple[float, float]:
    """Seconds until the worker takes jobs, and until the first token of one that waited."""
    request = {"model": model, "artist": "", "genre": "", "duration_seconds": 10}
    job_id = client.create_job(request).id
    # The worker before this one is told of for ten seconds after its end: nothing is measured yet.
    _wait_until(lambda: not client.get_system().workers, None, poll_sec=0.5)
    started = time.monotonic()
    command = python_command("worker")
    worker = ChildProcess("worker", command, env=environment, log_path=folder / "worker.log")
    try:
        _wait_until(lambda: bool(client.get_system().workers), worker)
        ready_sec = time.monotonic() - started
        _wait_until(lambda: _has_begun(client.get_job(job_id)), worker)
        return ready_sec, time.monotonic() - started
    finally:
        client.cancel_job(job_id)
        _stop(worker)


def _has_begun(job: Job) -> bool:
    return any(level.tokens_done for level in job.progress.levels)


def _wait_until(
    is_so: Callable[[], bool], process: ChildProcess | None, poll_sec: float = _POLL_SEC
) -> None:
    deadline = time.monotonic() + _PATIENCE_SEC
    while not is_so():
        if process is not None and process.exit_status() is not None:
            raise RuntimeError(f"the {process.name} ended:\n{process.last_lines()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing came within {_PATIENCE_SEC:.0f} s")
        time.sleep(poll_sec)


def _stop(process: ChildProcess) -> None:
    process.ask_to_stop()
    process.wait_or_kill(time.monotonic() + 15.0)


def measure_loading(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Bytes per second of a prior in half precision until every weight can be used.

    Beside the rate of reading the same file, in turn, from the disk (cold) and from the page cache.
    """
    model, level = PRIORS[options.prior]
    config, device = released_config(model), torch.device(options.device)
    directory = folder / "random"
    directory.mkdir()
    write_config(directory, config)
    file = directory / prior_file(level)
    write_tensors(file, random_prior(config.prior(level), device, "fp16").state_dict())
    num_bytes = file.stat().st_size
    rates: dict[str, list[float]] = {}
    for kind in ("cold", "warm") * options.repeats:
        for what in ("read", "load"):
            if kind == "cold":
                evict([file])
            started = time.perf_counter()
            if what == "read":
                read_through(file)
            else:
                prior = load_prior_of(directory, level, device=device)
                # On the CPU weights are mapped, and would be read when first used.
                for weight in prior.parameters() if device.type == "cpu" else ():
                    weight.detach().view(torch.uint8).flatten()[::4096].sum()
                wait_for(device)
            rate = num_bytes / (time.perf_counter() - started)
            rates.setdefault(f"{kind}_{what}", []).append(rate)
    medians = {kind: statistics.median(values) for kind, values in rates.items()}
    return {
        "prior": options.prior,
        "gigabytes": round(num_bytes / 1e9, 3),
        **{f"{kind}_gb_per_sec": round(rate / 1e9, 3) for kind, rate in medians.items()},
        "cold_share": round(medians["cold_load"] / medians["cold_read"], 3),
        "warm_share": round(medians["warm_load"] / medians["warm_read"], 3),
    }


def evict(files: Iterable[Path]) -> None:
    """Ask the kernel to forget these files; it keeps what a running process has mapped."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_through(path: Path) -> int:
    """Read a file from its beginning to its end into one small buffer; its bytes."""
    buffer, num_bytes = bytearray(_BLOCK_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            num_bytes += count
    return num_bytes


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


if __name__ == "__main__":
    main()
