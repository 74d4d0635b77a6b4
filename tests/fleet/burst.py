"""`python -m tests.fleet burst`: many songs at once, and how long each waited and was worked on.

The last line is JSON: what was asked for, and of every song, in seconds after the first post, when
it was posted, when each stage began and when the song ended. A song waits from its post to its
first stage. `alone_sec` are songs before the burst, one at a time; the first loads the model.
`sent_bytes_per_song` says by machine what left it, in whole frames.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import mean

from tests.fleet.fleet import Fleet, song_request
from tests.fleet.machines import make_network
from tests.fleet.sandbox import INSIDE

END_SEC = 600.0
STAGES = ("top", "middle", "bottom", "render")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if INSIDE not in os.environ:
        sys.exit("this needs a sandbox: python -m tests.fleet burst")
    words = [] if options.one_machine else options.worker
    workers = {f"worker{number}": word for number, word in enumerate(words)}
    make_network()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), workers=workers, concurrency=options.concurrency)
        with fleet:
            alone = [
                fleet.client.create_and_wait(song_request(seed, options.seconds))
                for seed in range(options.alone)
            ]
            before = fleet.traffic()
            songs = sing(fleet, options.songs, options.seconds)
            sent = {
                name: now.since(before[name]).sent_bytes // options.songs
                for name, now in fleet.traffic().items()
            }
    found = report(songs, vars(options)) | {
        "alone_sec": [(job.completed_at - job.created_at).total_seconds() for job in alone],
        "sent_bytes_per_song": sent,
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


def sing(fleet: Fleet, num_songs: int, seconds: float) -> list[dict[str, float]]:
    """Post that many at once and wait for all: by song the moments of `STAGES` and of its end."""
    with ThreadPoolExecutor(num_songs) as threads:
        jobs = list(
            threads.map(lambda seed: fleet.post(seed, seconds), range(100, 100 + num_songs))
        )
    ended = [fleet.client.wait_for_job(job_id, timeout_sec=END_SEC) for job_id in jobs]
    begun = stages_begun(fleet)
    first = min(job.created_at for job in ended)
    return [
        {"posted": (job.created_at - first).total_seconds()}
        | {stage: (at - first).total_seconds() for stage, at in begun[job.id].items()}
        | {"ended": (job.completed_at - first).total_seconds()}
        for job in ended
    ]


def stages_begun(fleet: Fleet) -> dict[str, dict[str, datetime]]:
    """By job and stage, from the logs of the workers."""
    found: dict[str, dict[str, datetime]] = {}
    for machine in dict.fromkeys(fleet.machines.values()):
        for process in machine.processes:
            for line in process.log.splitlines():
                if '"stage begins"' in line:
                    told = json.loads(line)
                    stages = found.setdefault(told["job_id"], {})
                    stages[told["stage"]] = datetime.fromisoformat(told["time"])
    return found


def report(
    songs: Sequence[Mapping[str, float]], options: Mapping[str, object]
) -> dict[str, object]:
    marks = ("posted", *STAGES, "ended")
    waits = [song["top"] - song["posted"] for song in songs]
    return {
        "options": dict(options),
        "cores": os.cpu_count(),
        "songs": [{name: round(song[name], 3) for name in marks} for song in songs],
        "mean_wait_sec": round(mean(waits), 3),
        "mean_stage_sec": {
            stage: round(mean(song[after] - song[stage] for song in songs), 3)
            for stage, after in pairwise((*STAGES, "ended"))
        },
        "last_ended_sec": round(max(song["ended"] for song in songs), 3),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet burst", description=__doc__)
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="of music, each")
    parser.add_argument("--alone", type=int, default=3, help="songs before, one after the other")
    parser.add_argument("--concurrency", type=int, default=8, help="songs of a worker at once")
    parser.add_argument("--one-machine", action="store_true", help="all on one, no --worker")
    parser.add_argument(
        "--worker",
        nargs="*",
        default=["top", "middle,bottom", "render"],
        help="stages of each worker (default: top middle,bottom render)",
    )
    return parser


if __name__ == "__main__":
    main()
