"""Jobs as the API would admit them, and worker processes that a test owns."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from jobs.artifacts import LocalArtifacts
from jobs.job import Job, JobStatus, LevelPlan, Stage, new_job_id
from jobs.queue import CeleryJobQueue
from jobs.redis_store import RedisJobStore
from jobs.request import JobRequest
from jukebox_core.catalog import ModelCatalog
from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.units import Level
from worker.mapping import to_song

SHORT_SEC = 1.3
LEASE_SEC = 3.0


@dataclass(kw_only=True)
class Service:
    """Everything of the service but its processes."""

    redis_url: str
    data_dir: Path
    models_dir: Path
    store: RedisJobStore = field(init=False)
    queue: CeleryJobQueue = field(init=False)
    artifacts: LocalArtifacts = field(init=False)
    catalog: ModelCatalog = field(init=False)

    def __post_init__(self):
        self.store = RedisJobStore(self.redis_url, resend_after_sec=2.0)
        self.queue = CeleryJobQueue(self.redis_url)
        self.artifacts = LocalArtifacts(self.data_dir / "artifacts")
        self.catalog = ModelCatalog(self.models_dir)

    def admit(self, **wanted) -> Job:
        """Create a job without sending it."""
        job = make_job(self.catalog, **wanted)
        self.store.create(job)
        return job

    def post(self, **wanted) -> str:
        """Create a job and send it; returns its id."""
        job = self.admit(**wanted)
        self.queue.publish(job.id, job.stage)
        return job.id

    def wait(self, job_id, reached, *, timeout_sec=40.0) -> Job:
        """Poll until `reached(job)`; the job then."""
        deadline = time.monotonic() + timeout_sec
        while time.monotonic() < deadline:
            job = self.store.get(job_id)
            if reached(job):
                return job
            time.sleep(0.02)
        raise AssertionError(f"after {timeout_sec} s: {job}")

    def wait_end(self, job_id, **options) -> Job:
        return self.wait(job_id, lambda job: job.is_terminal, **options)

    def codes(self, job: Job) -> dict[str, np.ndarray]:
        """What the job's merged file holds."""
        return self.artifacts.read_all_codes(job.id, job.codes_name)

    def environment(self, **settings) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("JUKEBOX_")}
        return kept | {
            "REDIS_URL": self.redis_url,
            "JUKEBOX_DATA_DIR": str(self.data_dir),
            "JUKEBOX_MODELS_DIR": str(self.models_dir),
            "JUKEBOX_DEVICE": "cpu",
            "JUKEBOX_LEASE_SEC": str(LEASE_SEC),
            "JUKEBOX_REAPER_SEC": "0.3",
            "JUKEBOX_HEALTH_FILE": str(self.data_dir / "worker.alive"),
            "OMP_NUM_THREADS": "1",
            **settings,
        }


def make_job(catalog: ModelCatalog, **wanted) -> Job:
    values = {
        "model": "tiny",
        "artist": "The Sawtooths",
        "genre": "drone",
        "lyrics": "Hello, hello, is anybody there?",
        "duration_seconds": SHORT_SEC,
        "seed": 7,
    }
    card = catalog.get("tiny")
    request = JobRequest(**(values | wanted))
    whole_sec = default_song_duration_sec(
        card.config, request.duration_seconds, request.offset_seconds
    )
    request = request.model_copy(update={"song_duration_seconds": whole_sec})
    job = Job(
        id=new_job_id(),
        status=JobStatus.QUEUED,
        request=request,
        labels=card.tokenizer.resolve(request.artist, request.genre),
        plan={},
        stage=Stage.TOP,
        created_at=datetime.now(UTC),
    )
    return _with_plan(job, card.config)


def _with_plan(job, config):
    plan = {
        level.label: LevelPlan(
            tokens_total=level_plan.total_tokens,
            windows_total=len(level_plan.windows),
            samples_per_token=config.time_base.samples_per_token[level],
        )
        for level, level_plan in plan_song(config, to_song(job)).levels.items()
    }
    values = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    return Job(**(values | {"plan": plan}))


def sing_alone(models_dir: Path, job: Job) -> dict[str, np.ndarray]:
    """The codes of a job as the library draws them: no service, no neighbours."""
    model = JukeboxModel.from_pretrained(models_dir / job.request.model)
    song = to_song(job)
    labels = model.tokenizer(song.artist, song.genre, song.lyrics)
    codes = model.ancestral_sample(
        labels,
        song.num_samples,
        duration_sec=song.duration_sec,
        song_duration_sec=song.song_duration_sec,
        offset_sec=song.offset_sec,
        sampling=song.sampling,
        levels=song.levels,
        seed=song.seed,
    )
    return {level.label: rows.numpy() for level, rows in zip(song.levels, codes, strict=True)}


def decode_alone(models_dir: Path, codes: np.ndarray, level: str) -> np.ndarray:
    """The sound of codes [S, T]: float32 [S, samples]."""
    model = JukeboxModel.from_pretrained(models_dir / "tiny")
    audio = model.vqvae.decode([torch.as_tensor(codes)], start_level=Level.from_label(level))
    return audio[..., 0].numpy()


class WorkerProcess:
    """`python -m worker`, with its log in a file."""

    def __init__(self, service: Service, log_path: Path, **settings: str) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                env=service.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_sec: float) -> int:
        return self._process.wait(timeout_sec)

    def end(self) -> None:
        if self._process.poll() is None:
            self.ask_to_stop()
            try:
                self.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


@contextmanager
def running_worker(service: Service, **settings: str):
    """A worker process; ended, and its log shown, when the block ends."""
    worker = WorkerProcess(service, service.data_dir / "worker.log", **settings)
    try:
        yield worker
    finally:
        worker.end()
        sys.stdout.write(worker.log)
