"""Songs by the service: many at once against one after the other, and each beside the library."""

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.report import Figures
from bench.serve.service import Service, median, page_of
from jukebox_client import JukeboxClient

_SPEEDS = ("exact", "parallel")
_CPU = "process_cpu_seconds_total"
_PART = 'jukebox_song_part_seconds_total{part="'
_WITHIN_DRAWING = ("loading", "prompt")
"""Parts that are a part of another one."""

# ---- batch: songs together against songs one after the other ----


def measure_batch(service: Service, options: argparse.Namespace) -> Figures:
    """Songs one after the other, then as many at once, through one worker; round after round."""
    _sing(service, service.request(options.seconds, 0))  # loads the model
    rounds = [_sing_round(service, options, turn) for turn in range(options.rounds)]
    medians = {name: median(each[name] for each in rounds) for name in rounds[0]}
    return {
        "songs": options.songs,
        "song_seconds": options.seconds,
        **medians,
        "times_of_rounds": [round(each["times"], 3) for each in rounds],
        "music_seconds_per_second": round(
            options.songs * options.seconds / medians["at_once_seconds"], 3
        ),
    }


def _sing_round(service: Service, options: argparse.Namespace, turn: int) -> dict[str, float]:
    """Every song of a round has a seed of its own, the same in every run."""
    first = 1 + 2 * options.songs * turn
    requests = [
        service.request(options.seconds, seed) for seed in range(first, first + 2 * options.songs)
    ]
    cpu = [page_of(service.worker_url)[_CPU]]
    alone = [_sing(service, request) for request in requests[: options.songs]]
    cpu.append(page_of(service.worker_url)[_CPU])
    with ThreadPoolExecutor(options.songs) as pool:
        together = list(pool.map(lambda each: _sing(service, each), requests[options.songs :]))
    cpu.append(page_of(service.worker_url)[_CPU])
    one_by_one, at_once = sum(_seconds_of(job) for job in alone), _seconds_of(*together)
    return {
        "one_by_one_seconds": one_by_one,
        "at_once_seconds": at_once,
        "times": one_by_one / at_once,
        "one_by_one_cpu_seconds": cpu[1] - cpu[0],
        "at_once_cpu_seconds": cpu[2] - cpu[1],
    }


def _sing(service: Service, request: Figures) -> Figures:
    """The job at its end. Raises JobFailed when it did not succeed."""
    with JukeboxClient(service.url) as client:
        return client.create_and_wait(request).to_dict()


def _seconds_of(*jobs: Figures) -> float:
    """From the first record of some jobs to the last end, by the server's clock."""
    begins = [datetime.fromisoformat(job["created_at"]) for job in jobs]
    ends = [datetime.fromisoformat(job["completed_at"]) for job in jobs]
    return (max(ends) - min(begins)).total_seconds()


# ---- overhead: the service beside the library ----


def measure_overhead(service: Service, options: argparse.Namespace) -> Figures:
    """The same songs by the service and by the library, in turn, at both speeds.

    The library draws, and decodes the finest level. The service makes the sound of the levels above
    as well, times the lyrics, and writes it all to the disk.
    """
    found: dict[str, list[Figures]] = {speed: [] for speed in _SPEEDS}
    library = (str(service.model_dir), options.backend, options.weights, options.library_threads)
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_open_library, initargs=library
    ) as pool:
        for seed in range(options.repeats + 1):
            for speed, songs in found.items():
                request = service.request(options.seconds, seed, speed=speed)
                before = page_of(service.worker_url)
                job = _sing(service, request)
                after = page_of(service.worker_url)
                spent = pool.submit(_sing_in_library, request).result()
                if seed > 0:  # the first loads the model
                    songs.append(_compared(job, before, after, spent))
    return {
        speed: {
            "song_seconds": options.seconds,
            **{name: _medians([song[name] for song in songs]) for name in songs[0]},
        }
        for speed, songs in found.items()
    }


def _open_library(model: str, backend: str, weights: str, num_threads: int) -> None:
    """In a process of its own, like a worker."""
    import torch

    from jukebox_core.model import JukeboxModel

    global _library
    torch.set_num_threads(num_threads)
    _library = JukeboxModel.from_pretrained(Path(model), weights=weights, backend=backend)


_library: Any = None


def _sing_in_library(request: Figures) -> dict[str, float]:
    """Seconds of sampling and of the finest level's sound, and of processors."""
    from bench.song.speeds import sing

    labels = _library.tokenizer(request["artist"], request["genre"], request["lyrics"])
    seconds, seed, speed = (request[name] for name in ("duration_seconds", "seed", "speed"))
    take = sing(_library, seconds, seed, speed, labels)
    return {"draw": take.sampling_sec, "decode": take.decoding_sec, "cpu": take.cpu_sec}


def _compared(
    job: Figures, before: Mapping[str, float], after: Mapping[str, float], spent: dict[str, float]
) -> Figures:
    library_cpu = spent.pop("cpu")
    service, library = _seconds_of(job), sum(spent.values())
    drawing = sum(level["seconds"] for level in job["metrics"]["levels"].values())
    waiting = job["metrics"]["queue_seconds"]
    return {
        "service_seconds": service,
        "library_seconds": library,
        "waiting_seconds": waiting,
        "drawing_seconds": drawing,
        "beside_drawing_seconds": service - drawing,
        "overhead_seconds": service - library,
        "overhead_share": service / library - 1.0,
        "service_cpu_seconds": after[_CPU] - before[_CPU],
        "library_cpu_seconds": library_cpu,
        "parts": parts_between(before, after, service, waiting),
        "library_parts": spent,
    }


def parts_between(
    before: Mapping[str, float], after: Mapping[str, float], service_sec: float, waiting_sec: float
) -> dict[str, float]:
    """What a song waited for between its record and its end, part by part, as the worker counts.

    `other` is what nobody counts: messages, claims, the last writes.
    """
    parts = {"waiting": waiting_sec} | {
        name.removeprefix(_PART).partition('"')[0]: seconds - before.get(name, 0.0)
        for name, seconds in after.items()
        if name.startswith(_PART)
    }
    within = sum(parts.get(part, 0.0) for part in _WITHIN_DRAWING)
    parts["drawing"] = parts.get("drawing", 0.0) - within
    return parts | {"other": service_sec - sum(parts.values())}


def _medians(found: Sequence[Any]) -> Any:  # noqa: ANN401
    """Of numbers, or of each value of some mappings."""
    if isinstance(found[0], dict):
        return {name: median([each[name] for each in found]) for name in found[0]}
    return median(found)
