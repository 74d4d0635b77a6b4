"""Workers that pretend to sample: the real queue, claims, leases, records and files; no model.

`python -m bench.serve.pretend --workers 32` is one process of many workers, configured by the
environment of a worker. It ends on SIGTERM. Each worker takes one job at a time, as many as there
are windows in its plan, and waits for each as long as sampling it at `--tokens-per-sec` would take.
"""

import argparse
import random
import signal
import threading
import time
import wave
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from celery import Celery
from kombu.connection import Connection
from kombu.message import Message
from kombu.messaging import Consumer

from jobs.errors import LeaseLost
from jobs.queue import celery_app
from jobs.record.job import LevelMetrics, LevelProgress, Output, Stage
from jobs.record.songs import level_of, plan_job
from jobs.store import Claim, JobStore, WorkerInfo
from jukebox_core.config import JukeboxConfig
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.sampling.song_plan import LevelPlan
from worker.health import ANNOUNCE_TTL_SEC, BEAT_SEC
from worker.lease.lease import Lease, StageInterrupted
from worker.lease.progress import StageProgress
from worker.settings import WorkerSettings

_LISTEN_SEC = 1.0
_SILENCE = bytes(3200)
_NUM_CODES = 256


class _Level:
    """How far a level would be by now."""

    def __init__(self, rate: float) -> None:
        self._rate, self._began, self._first, self.num_windows = rate, time.monotonic(), 0, 0

    def begin(self, first_token: int) -> None:
        """A window begins there."""
        self._first, self._began = first_token, time.monotonic()

    def end(self, num_tokens: int) -> None:
        """Nothing more comes."""
        self._first, self._rate = num_tokens, 0.0

    def progress(self) -> LevelProgress:
        """As a sampler would count it."""
        num_new = int((time.monotonic() - self._began) * self._rate)
        return LevelProgress(tokens_done=self._first + num_new, windows_done=self.num_windows)


class PretendWorker(threading.Thread):
    """One worker with a connection to the queue of its own."""

    def __init__(
        self,
        name: str,
        settings: WorkerSettings,
        catalog: ModelCatalog,
        tokens_per_sec: float,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._settings, self._catalog = settings, catalog
        # Not all alike, or all songs would end in the same moment.
        self._tokens_per_sec = tokens_per_sec * random.Random(name).uniform(0.7, 1.3)
        self._stopping = stopping
        self._store = JobStore(settings.redis_url)
        self._artifacts = settings.open_storage().artifacts
        self._celery = celery_app(settings.redis_url)
        self._message: Message | None = None

    def run(self) -> None:
        """Until `stopping`."""
        presence = threading.Thread(target=self._announce, name=f"{self.name} lives", daemon=True)
        presence.start()
        with self._celery.connection_for_read() as connection:
            self._serve(self._celery, connection)
        presence.join()

    def _announce(self) -> None:
        while True:
            worker = WorkerInfo(
                name=self.name,
                device="pretended",
                models=tuple(self._catalog.names()),
                stages=tuple(Stage),
                seen_at=datetime.now(UTC),
            )
            self._store.announce_worker(worker, ttl_sec=ANNOUNCE_TTL_SEC)
            if self._stopping.wait(BEAT_SEC):
                return

    def _serve(self, celery: Celery, connection: Connection) -> None:
        """Listen only while there is no job, as a worker does whose threads are all busy."""
        while not self._stopping.is_set():
            consumer = Consumer(  # type: ignore[no-untyped-call]
                connection, celery.conf.task_queues, on_message=self._take, prefetch_count=1
            )
            with consumer:
                while self._message is None and not self._stopping.is_set():
                    try:
                        connection.drain_events(timeout=_LISTEN_SEC)  # type: ignore[no-untyped-call]
                    except TimeoutError:
                        continue
            if self._message is not None:
                message, self._message = self._message, None
                (job_id, stage), _, _ = message.decode()  # type: ignore[no-untyped-call]
                self._run(job_id, Stage(stage))

    def _take(self, message: Message) -> None:
        message.ack()  # type: ignore[no-untyped-call]
        self._message = message

    def _run(self, job_id: str, stage: Stage) -> None:
        claim = self._store.claim(
            job_id, stage, worker=self.name, lease_sec=self._settings.lease_sec
        )
        if claim is None:
            return
        lease = Lease(
            self._store,
            claim,
            StageProgress(claim.job),
            lease_sec=self._settings.lease_sec,
            heartbeat_sec=self._settings.heartbeat_sec,
            draining=self._stopping,
        )
        try:
            with lease:
                self._sing(lease)
        except (StageInterrupted, LeaseLost):
            return

    def _sing(self, lease: Lease) -> None:
        store = self._store
        config = self._catalog.get(lease.claim.job.request.model).config
        lease.write(lambda: store.record_backend(lease.claim, step="native", weights="full"))
        plan = plan_job(lease.claim.job, config).plan
        while lease.claim.job.stage is not Stage.RENDER:
            stage = lease.claim.job.stage
            level_plan = plan.levels[level_of(stage)]
            self._sample(lease, stage.value, level_plan)
            self._end_level(lease, lease.claim, self._sound(lease.claim, stage.value, config))
        lease.finish(lambda: store.succeed(lease.claim))

    def _end_level(self, lease: Lease, claim: Claim, output: Output) -> None:
        store, stage, request = self._store, claim.job.stage, claim.job.request
        metrics = LevelMetrics(seconds=1.0, tokens_per_second=self._tokens_per_sec)
        lease.write(lambda: store.record_outputs(claim, [output]))
        lease.go_on(
            lambda: store.go_on(
                claim,
                claim.job.next_stage() or Stage.RENDER,
                metrics=metrics,
                codes_name=f"codes-{stage}.safetensors",
                lease_sec=self._settings.lease_sec,
            )
        )
        store.record_rate(request.model, stage, self._tokens_per_sec)

    def _sample(self, lease: Lease, level: str, plan: LevelPlan) -> None:
        """Wait for each window, and keep codes of its length."""
        claim, state = lease.claim, _Level(rate=self._tokens_per_sec)
        lease.progress.watch(level, state.progress)
        for window in plan.windows:
            state.begin(window.first_new)
            self._stopping.wait(window.num_new / self._tokens_per_sec)
            lease.check()
            codes = np.random.default_rng(window.end).integers(_NUM_CODES, size=(1, window.num_new))
            file = self._artifacts.write_codes(
                claim.job.id, fence=claim.fence, level=level, start=window.first_new, codes=codes
            )
            lease.write(partial(self._store.record_window, claim, file))
            state.num_windows += 1
        state.end(plan.total_tokens)

    def _sound(self, claim: Claim, level: str, config: JukeboxConfig) -> Output:
        name = f"{level}-00-fence{claim.fence:06d}.wav"
        with self._artifacts.new_file(claim.job.id, name, fence=claim.fence) as path:
            _write_silence(path, config.vqvae.sample_rate_hz)
            content = path.read_bytes()
        return Output(
            name=name,
            level=level,
            sample=0,
            duration_sec=claim.job.duration_sec,
            sample_rate_hz=config.vqvae.sample_rate_hz,
            num_bytes=len(content),
            sha256=sha256(content).hexdigest(),
        )


def _write_silence(path: Path, sample_rate_hz: int) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(sample_rate_hz)
        sound.writeframes(_SILENCE)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.serve.pretend", description=__doc__)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--tokens-per-sec", type=float, default=2000.0)
    options = parser.parse_args()
    settings, stopping = WorkerSettings.from_environment(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    catalog = ModelCatalog(Path(str(settings.models_dir)))
    workers = [
        PretendWorker(
            f"{settings.worker_name}:{number}", settings, catalog, options.tokens_per_sec, stopping
        )
        for number in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
