"""How long a worker takes to its first token, and how fast the weights of a prior are loaded.

See `bench/README.md`. `python -m bench.start --help`, from the root of the repository.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.full_size import FULL_SIZE, random_prior
from bench.machine import cpu_name, device_name, wait_for
from bench.page_cache import evict, files_below, read_bytes_per_sec
from cli.local.embedded_redis import EmbeddedRedis
from cli.local.processes import ChildProcess
from cli.local.stack import StackSettings, free_port
from cli.service.client import JukeboxClient
from jukebox_core.checkpoints.load import load_prior_of
from jukebox_core.checkpoints.native import prior_file, write_config, write_tensors
from jukebox_core.child_processes import python_command
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.tiny import write_tiny

PARTS = ("worker", "loading")
_POLL_SEC = 0.01
_PATIENCE_SEC = 300.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print everything as JSON in the last line."""
    options = _parser().parse_args(arguments)
    device = torch.device(options.device)
    told: dict[str, Any] = {"machine": cpu_name(), "device": device_name(device)}
    with tempfile.TemporaryDirectory(prefix="jukebox-start", dir=options.folder) as name:
        if "worker" in options.parts:
            told["worker"] = measure_worker(
                Path(name), options.model, options.device, options.repeats
            )
        if "loading" in options.parts:
            told["loading"] = measure_loading(Path(name), options.prior, device, options.repeats)
    print(json.dumps(told, indent=2))
    print(json.dumps(told))


def measure_worker(folder: Path, model: Path | None, device: str, repeats: int) -> dict[str, Any]:
    """Seconds from the start of the process; a job waits for it already.

    Cold: torch and the model were put out of the page cache before.
    """
    models_dir = folder / "models"
    models_dir.mkdir()
    name = "tiny" if model is None else model.name
    if model is None:
        write_tiny(models_dir / name)
    else:
        (models_dir / name).symlink_to(model.resolve(), target_is_directory=True)
    needed = [*files_below(Path(torch.__file__).parent), *files_below(models_dir / name)]
    told: dict[str, Any] = {"model": name}
    with _service(folder, models_dir) as (client, environment):
        environment |= {"JUKEBOX_DEVICE": device, "JUKEBOX_TUNING": "heartbeat_sec=0.05"}
        runs: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
        for _ in range(repeats):
            evict(needed)
            for kind in ("cold", "warm"):
                runs[kind].append(_start_worker(client, environment, folder, name))
    for kind, pairs in runs.items():
        ready, first = zip(*pairs, strict=True)
        told[f"{kind}_ready_seconds"] = round(statistics.median(ready), 3)
        told[f"{kind}_first_token_seconds"] = round(statistics.median(first), 3)
    return told


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
        command = python_command("api")
        api = ChildProcess("api", command, env=environment, log_path=folder / "api.log")
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
    job_id = client.submit(request)["id"]
    # The worker before this one is told of for ten seconds after its end.
    _wait_until(lambda: not client.system()["workers"], None)
    started = time.monotonic()
    command = python_command("worker")
    worker = ChildProcess("worker", command, env=environment, log_path=folder / "worker.log")
    try:
        _wait_until(lambda: bool(client.system()["workers"]), worker)
        ready_sec = time.monotonic() - started
        _wait_until(lambda: _has_begun(client.get(job_id)), worker)
        return ready_sec, time.monotonic() - started
    finally:
        client.cancel(job_id)
        _stop(worker)


def _has_begun(job: dict[str, Any]) -> bool:
    return any(level["tokens_done"] for level in job["progress"]["levels"])


def _wait_until(is_so: Callable[[], bool], process: ChildProcess | None) -> None:
    deadline = time.monotonic() + _PATIENCE_SEC
    while not is_so():
        if process is not None and process.exit_status() is not None:
            raise RuntimeError(f"the {process.name} ended:\n{process.last_lines()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing came within {_PATIENCE_SEC:.0f} s")
        time.sleep(_POLL_SEC)


def _stop(process: ChildProcess) -> None:
    process.ask_to_stop()
    process.wait_or_kill(time.monotonic() + 15.0)


def measure_loading(folder: Path, name: str, device: torch.device, repeats: int) -> dict[str, Any]:
    """Bytes per second of a prior in half precision until every weight can be used.

    Beside the rate of reading the same file, in turn, from the disk (cold) and from the page cache.
    """
    model, level = FULL_SIZE[name]
    directory = folder / "random"
    directory.mkdir()
    config = released_config(model)
    write_config(directory, config)
    file = directory / prior_file(level)
    write_tensors(file, random_prior(config.prior(level), device, torch.float16).state_dict())
    num_bytes = file.stat().st_size
    rates: dict[str, list[float]] = {}
    for kind, _ in [(kind, turn) for turn in range(repeats) for kind in ("cold", "warm")]:
        for what in ("read", "load"):
            if kind == "cold":
                evict([file])
            started = time.perf_counter()
            if what == "read":
                rate = read_bytes_per_sec(file)
            else:
                _use(load_prior_of(directory, level, device=device), device)
                rate = num_bytes / (time.perf_counter() - started)
            rates.setdefault(f"{kind}_{what}", []).append(rate)
    medians = {kind: statistics.median(values) for kind, values in rates.items()}
    return {
        "prior": name,
        "gigabytes": round(num_bytes / 1e9, 3),
        **{f"{kind}_gb_per_sec": round(rate / 1e9, 3) for kind, rate in medians.items()},
        "cold_share": round(medians["cold_load"] / medians["cold_read"], 3),
        "warm_share": round(medians["warm_load"] / medians["warm_read"], 3),
    }


def _use(prior: JukeboxPrior, device: torch.device) -> None:
    """Touch every page: on the CPU weights are mapped, and would be read when first used."""
    if device.type == "cpu":
        for weight in prior.parameters():
            weight.detach().view(torch.uint8).flatten()[::4096].sum()
    wait_for(device)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--model", type=Path, help="model directory; a fresh `tiny` if left out")
    parser.add_argument("--prior", choices=FULL_SIZE, default="upsampler", help="what is loaded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=os.environ.get("TMPDIR"), help="on the disk to measure")
    return parser


if __name__ == "__main__":
    main()
