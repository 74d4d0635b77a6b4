"""`python -m tests.faults.bucket_cost`: what files in a bucket cost a song; JSON in the last line.

The same song, on a local disk and over a real S3 server whose every answer is late by so much, each
time sung by a worker that is warm.
"""

import argparse
import io
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from jukebox_core.buckets import BucketUrl
from jukebox_core.models.catalog import BUNDLED_MODELS
from tests.faults.test_bucket_faults import BucketWorld
from tests.faults.world import World
from tests.fixtures.s3_server import BUCKET, Fault, S3Server
from tests.fixtures.servers import RedisServer


def sing(world: World, seconds: float, seed: int) -> tuple[float, int]:
    """Seconds that a song took, and how many windows it has."""
    job_id = world.post(duration_seconds=seconds, seed=seed, artist="bromgard", genre="fernjig")
    job = world.wait_end(job_id, timeout_sec=300)
    assert job.status == "succeeded", job.error
    return (job.completed_at - job.started_at).total_seconds(), len(job.windows)


def measured(world: World, s3: S3Server | None, seconds: float) -> dict[str, object]:
    world.worker(JUKEBOX_BACKEND="auto")
    world.wait_workers(1)
    sing(world, seconds, seed=1)
    if s3 is not None:
        s3.requests()
    times = []
    for seed in (2, 3):
        took, num_windows = sing(world, seconds, seed)
        times.append(round(took, 2))
    counts = {n: round(c / 2) for n, c in s3.requests().items()} if s3 is not None else {}
    return {"song_sec": times, "windows": num_windows, "requests_per_song": counts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--delays-ms", type=float, nargs="*", default=[0.0, 20.0, 100.0])
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found: dict[str, object] = {}
    s3 = S3Server()
    s3.start()
    try:
        compare(s3, options.seconds, options.delays_ms, found)
    finally:
        s3.stop()
    sys.stdout.write(json.dumps(found) + "\n")


def compare(s3: S3Server, seconds: float, delays_ms: list[float], found: dict[str, object]) -> None:
    """On the disk, and with each delay."""
    os.environ.update(s3.environment)
    for delay_ms in [None, *delays_ms]:
        with tempfile.TemporaryDirectory() as folder:
            data_dir = Path(folder) / "data"
            data_dir.mkdir()
            server = RedisServer(data_dir)
            server.start()
            # By the name that jobs of a `World` have.
            shutil.copytree(BUNDLED_MODELS / "mini", Path(folder) / "models" / "tiny")
            parts = {
                "redis_url": server.url,
                "data_dir": data_dir,
                "models_dir": Path(folder) / "models",
                "server": server,
            }
            if delay_ms is None:
                world = World(**parts)
            else:
                bucket = BucketUrl(f"s3://{BUCKET}/{secrets.token_hex(8)}")
                world = BucketWorld(**parts, bucket=bucket, s3=s3)
                s3.fail(Fault(delay_sec=delay_ms / 1000.0))
            started = time.monotonic()
            try:
                name = "disk" if delay_ms is None else f"{delay_ms:g} ms"
                found[name] = measured(world, None if delay_ms is None else s3, seconds)
                sys.stderr.write(f"{name}: {found[name]} {time.monotonic() - started:.0f} s\n")
            finally:
                with redirect_stdout(io.StringIO()):  # logs
                    world.end()
                server.stop()


if __name__ == "__main__":
    main()
