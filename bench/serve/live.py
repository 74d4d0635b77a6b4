"""How soon is a song heard, does playing it stall, and what do listeners cost the job?"""

import argparse
import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from bench.report import Figures, significant
from bench.serve.service import Service, page_of
from jukebox_client import JukeboxClient

_HEADER_BYTES = 44
_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What a listener met: when the first sound came, and how playing went from then on."""

    first_sound_sec: float
    stalled_sec: float
    num_stalls: int
    heard_sec: float


def measure_live(service: Service, options: argparse.Namespace) -> Figures:
    """Songs without listeners, with one and with several, in turn; medians of each."""
    _sing(service, service.request(options.seconds, 0), num_listeners=0)  # loads the model
    kinds = {"alone": 0, "one": 1, "several": options.listeners}
    jobs: dict[str, list[float]] = {kind: [] for kind in kinds}
    heard: dict[str, list[Listening]] = {kind: [] for kind in kinds}
    api_cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(1, options.repeats + 1):
        for kind, number in kinds.items():
            before = _api_cpu_sec(service)
            request = service.request(options.seconds, seed)
            seconds, listenings = _sing(service, request, num_listeners=number)
            jobs[kind].append(seconds)
            api_cpu[kind].append(_api_cpu_sec(service) - before)
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


def _api_cpu_sec(service: Service) -> float:
    """Of the process that serves listeners; the worker does nothing for them."""
    return page_of(service.url)["process_cpu_seconds_total"]


def _sing(
    service: Service, request: Figures, *, num_listeners: int
) -> tuple[float, list[Listening]]:
    """Seconds of a job from its record to its end, and what its listeners met."""
    url = service.url
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
    return {"median": round(statistics.median(found), 3), "most": round(max(found), 3)}


def _ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Median over the songs of one seed, which were sung one after the other."""
    return significant(statistics.median(a / b for a, b in zip(ones, others, strict=True)))
