"""Many random kills over a batch of songs: `python -m tests.faults.soak`; the last line is JSON.

Two workers draw; again and again one of them, in a stage chosen by chance and at a random moment of
it, gets SIGKILL, and another takes its place. At the end the five promises are asserted for every
song.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from jobs.record.job import Stage
from jukebox_core.tiny import write_tiny
from tests.faults.promises import Undisturbed, assert_promises
from tests.faults.world import Child, World
from tests.fixtures.servers import RedisServer

POLL_SEC = 0.02
PATIENT = {"JUKEBOX_TUNING": "reaper_sec=0.3,max_attempts=20"}
"""Workers die here more often than a busy machine keeps windows; three in a row say nothing."""
MAX_DELAY_SEC = 0.4
"""The longest wait between the sight of a worker in the wanted stage and its end."""
SEARCH_SEC = 8.0
MIN_SONGS = 4


class Soak:
    """One world, and what happened to it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.jobs: list[str] = []
        self.kills: Counter[str] = Counter()
        self.recoveries_sec: list[float] = []
        self._hit: dict[str, tuple[int, float]] = {}

    def post(self, song_sec: float) -> None:
        """Songs share seeds, so that few have to be sung undisturbed as well."""
        seed = len(self.jobs) % 6
        self.jobs.append(self.world.post(duration_seconds=song_sec, seed=seed))

    def find_victim(self, workers: list[Child], song_sec: float) -> int:
        """A worker with a song at a stage chosen by chance; after a while one with any song."""
        stage = self.random.choice(list(Stage))
        names = [worker.name for worker in workers]
        search_until = time.monotonic() + SEARCH_SEC
        while True:
            while self.num_unfinished() < MIN_SONGS:
                self.post(song_sec)
            self.watch()
            is_any = time.monotonic() > search_until
            for job in map(self.world.store.get, self.jobs[-2 * MIN_SONGS :]):
                is_held = job.lease_expires_at is not None and job.worker in names
                if is_held and (is_any or job.stage is stage):
                    return names.index(job.worker)
            time.sleep(POLL_SEC)

    def kill(self, worker: Child) -> None:
        held = [self.world.store.get(job_id) for job_id in self.jobs[-12:]]
        name = worker.name
        worker.kill()
        at = time.monotonic()
        held = [job for job in held if job.worker == name and job.lease_expires_at is not None]
        self.kills.update([job.stage.value for job in held] or ["idle"])
        self._hit.update({job.id: (job.fence, at) for job in held if not job.is_terminal})

    def watch(self) -> None:
        """Note which songs that lost their worker were claimed again."""
        for job_id, (fence, at) in list(self._hit.items()):
            job = self.world.store.get(job_id)
            if job.is_terminal or job.fence > fence:
                self.recoveries_sec.append(time.monotonic() - at)
                del self._hit[job_id]

    def num_unfinished(self) -> int:
        return sum(not self.world.store.get(job_id).is_terminal for job_id in self.jobs)


def soak(world: World, *, num_kills: int, song_sec: float, seed: int) -> Soak:
    run = Soak(world, seed)
    workers = [world.worker(**PATIENT), world.worker(**PATIENT)]
    world.wait_workers(2)
    for _ in range(num_kills):
        victim = run.find_victim(workers, song_sec)
        time.sleep(run.random.uniform(0.0, MAX_DELAY_SEC))
        run.kill(workers[victim])
        workers[victim] = world.worker(**PATIENT)
    while run.num_unfinished():
        run.watch()
        time.sleep(POLL_SEC)
    run.watch()
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--song-seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_tiny(root / "models" / "tiny")
        figures = _run(root, options)
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _run(root: Path, options: argparse.Namespace) -> dict[str, object]:
    began_at = time.monotonic()
    worlds = [_world(root / name, root / "models") for name in ("soak", "undisturbed")]
    world, calm = worlds
    try:
        run = soak(world, num_kills=options.kills, song_sec=options.song_seconds, seed=options.seed)
        wall_sec = time.monotonic() - began_at
        calm.worker()
        jobs = assert_promises(world, Undisturbed(calm), run.jobs, lost_at_most_sec=wall_sec)
    finally:
        for each in worlds:
            for child in each.children:
                child.end()
            each.server.stop()
    slowest = sorted(run.recoveries_sec)
    return {
        "kills": options.kills,
        "kills_by_stage": dict(run.kills),
        "jobs": len(jobs),
        "succeeded": sum(job.status == "succeeded" for job in jobs),
        "bit_identical": len(jobs),
        "attempts_max": max(job.attempt for job in jobs),
        "recoveries": len(slowest),
        "recovery_median_sec": round(statistics.median(slowest), 2) if slowest else None,
        "recovery_max_sec": round(slowest[-1], 2) if slowest else None,
        "seconds": round(wall_sec, 1),
    }


def _world(data_dir: Path, models_dir: Path) -> World:
    data_dir.mkdir()
    server = RedisServer(data_dir)
    server.start()
    return World(redis_url=server.url, data_dir=data_dir, models_dir=models_dir, server=server)


if __name__ == "__main__":
    sys.exit(main())
