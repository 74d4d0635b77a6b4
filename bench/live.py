"""How soon is a song heard, does playing it stall, and what do listeners cost the job?

`python -m bench.live`; see `bench/README.md`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from bench.machine import cpu_name, tell
from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient
from jukebox_core.models.catalog import BUNDLED_MODEL, locate_model

_HEADER_BYTES = 44
_SAMPLE_BYTES = 2

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What a listener met: when the first sound came, and how playing went from then on."""

    first_sound_sec: float
    stalled_sec: float
    num_stalls: int
    heard_sec: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--model", type=Path, default=locate_model(BUNDLED_MODEL))
    parser.add_argument("--seconds", type=float, default=20.0, help="of every song")
    parser.add_argument("--repeats", type=int, default=5, help="songs of each kind")
    parser.add_argument("--listeners", type=int, default=4, help="of one song")
    parser.add_argument("--quick", action="store_true", help="one short song of each kind")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(seconds=3.0, repeats=1, listeners=2)
    found: Figures = {"machine": cpu_name(), "cores": os.cpu_count(), "model": options.model.name}
    with tempfile.TemporaryDirectory(prefix="jukebox-live") as name, _service(name, options) as url:
        tell(found | _measure(url, options))


@contextmanager
def _service(folder: str, options: argparse.Namespace) -> Iterator[str]:
    wanted = StackSettings(
        data_dir=Path(folder), models_dir=options.model.resolve().parent, port=free_port()
    )
    with (
        mock.patch.dict(os.environ, {"JUKEBOX_LIMITS": "max_queued=0"}),
        running_stack(wanted, StopSignals()) as stack,
    ):
        yield stack.url


def _measure(url: str, options: argparse.Namespace) -> Figures:
    """Songs without listeners, with one and with several, in turn; medians of each."""
    _sing(url, options, seed=0, num_listeners=0)  # loads the model
    kinds = {"alone": 0, "one": 1, "several": options.listeners}
    jobs: dict[str, list[float]] = {kind: [] for kind in kinds}
    heard: dict[str, list[Listening]] = {kind: [] for kind in kinds}
    api_cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(1, options.repeats + 1):
        for kind, number in kinds.items():
            before = _api_cpu_sec(url)
            seconds, listenings = _sing(url, options, seed=seed, num_listeners=number)
            jobs[kind].append(seconds)
            api_cpu[kind].append(_api_cpu_sec(url) - before)
            heard[kind] += listenings
    return {
        "song_seconds": options.seconds,
        "listeners": options.listeners,
        "first_sound_seconds": _summary(each.first_sound_sec for each in heard["one"]),
        "stalls": sum(each.num_stalls for each in heard["one"]),
        "stalled_seconds": round(sum(each.stalled_sec for each in heard["one"]), 3),
        "heard_seconds": _summary(each.heard_sec for each in heard["one"]),
        "job_seconds": {kind: _summary(seconds) for kind, seconds in jobs.items()},
        "api_cpu_seconds": {kind: _summary(seconds) for kind, seconds in api_cpu.items()},
        "times_slower_with_one": _ratio(jobs["one"], jobs["alone"]),
        "times_slower_with_several": _ratio(jobs["several"], jobs["alone"]),
    }


def _api_cpu_sec(url: str) -> float:
    """Of the process that serves listeners; the worker does nothing for them."""
    page = httpx.get(f"{url}/metrics", trust_env=False).text
    return float(page.partition("\nprocess_cpu_seconds_total ")[2].partition("\n")[0])


def _sing(
    url: str, options: argparse.Namespace, *, seed: int, num_listeners: int
) -> tuple[float, list[Listening]]:
    """Seconds of a job from its record to its end, and what its listeners met."""
    request = {
        "model": options.model.name,
        "artist": "orlavane",
        "genre": "tidedub",
        "lyrics": "hello hello is anybody there",
        "duration_seconds": options.seconds,
        "seed": seed,
    }
    with JukeboxClient(url) as client, ThreadPoolExecutor(max(num_listeners, 1)) as pool:
        posted_at = time.monotonic()
        job = client.create_job(request)
        listeners = [
            pool.submit(_listen, f"{url}/jobs/{job.id}/live", posted_at)
            for _ in range(num_listeners)
        ]
        ended = client.wait_for_job(job.id)
        if ended.status != "succeeded" or ended.completed_at is None:
            raise RuntimeError(f"a song ended as {ended.status}: {ended.error}")
        seconds = (ended.completed_at - ended.created_at).total_seconds()
        return seconds, [each.result() for each in listeners]


def _listen(url: str, posted_at: float) -> Listening:
    """Plays what arrives, as far as the clock goes: a stall is when it has nothing to play."""
    first_at, heard_sec, stalled_sec, num_stalls = 0.0, 0.0, 0.0, 0
    with httpx.stream("GET", url, timeout=120.0, trust_env=False) as response:
        response.raise_for_status()
        num_bytes, bytes_per_sec = 0, 1
        for data in response.iter_raw():
            now, header = time.monotonic(), num_bytes == 0
            if header:
                bytes_per_sec = int.from_bytes(data[24:28], "little") * _SAMPLE_BYTES
            num_bytes += len(data)
            if num_bytes <= _HEADER_BYTES:
                continue
            first_at = first_at or now
            late_sec = now - first_at - stalled_sec - heard_sec
            if late_sec > 0:
                stalled_sec, num_stalls = stalled_sec + late_sec, num_stalls + 1
            heard_sec = (num_bytes - _HEADER_BYTES) / bytes_per_sec
    return Listening(
        first_sound_sec=first_at - posted_at,
        stalled_sec=stalled_sec,
        num_stalls=num_stalls,
        heard_sec=heard_sec,
    )


def _summary(values: Iterable[float]) -> Figures:
    found = list(values)
    return {
        "median": round(statistics.median(found), 3),
        "most": round(max(found), 3),
    }


def _ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Median over the songs of one seed, which were sung one after the other."""
    return round(statistics.median(a / b for a, b in zip(ones, others, strict=True)), 4)


if __name__ == "__main__":
    main()
