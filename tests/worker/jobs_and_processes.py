"""Jobs as the API would admit them, and worker processes that a test owns."""

import json
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

from jobs.files.local_artifacts import LocalArtifacts
from jobs.queue import CeleryJobQueue
from jobs.record.job import Job, JobStatus, Stage, new_job_id
from jobs.record.request import JobRequest
from jobs.record.songs import plan_job, plan_request
from jobs.store import Claim, JobStore
from jukebox_core.audio import write_audio
from jukebox_core.backends.choose import RENAMED
from jukebox_core.model import JukeboxModel
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.sampling.cascade import default_song_duration_sec
from jukebox_core.units import Level
from tests.fixtures.logged_process import LoggedProcess
from worker.parts import WorkerParts
from worker.tasks import run_song

SHORT_SEC = 1.3
LEASE_SEC = 3.0
LONG_LEASE_SEC = 60.0
"""Of workers that no test lets die of it, however busy the machine is."""
PATIENCE_SEC = 300.0
"""How long a test waits for what comes within seconds on a machine that has nothing else to do."""
INJECT_DIR = Path(__file__).parent.parent / "faults" / "inject"


@dataclass(kw_only=True)
class Service:
    """Everything of the service but its processes."""

    redis_url: str
    data_dir: Path
    models_dir: Path
    store: JobStore = field(init=False)
    queue: CeleryJobQueue = field(init=False)
    artifacts: LocalArtifacts = field(init=False)
    catalog: ModelCatalog = field(init=False)

    def __post_init__(self):
        self.store = JobStore(self.redis_url, resend_after_sec=2.0)
        self.queue = CeleryJobQueue(self.redis_url)
        self.artifacts = LocalArtifacts(self.data_dir / "artifacts")
        self.catalog = ModelCatalog(self.models_dir)

    def admit(self, *, codes=None, recording=None, **wanted) -> Job:
        """Create a job without sending it.

        `codes` by level, int [rows, n], or a `recording`, float32 [samples], is what it begins with
        and is put into its folder.
        """
        job = make_job(self.catalog, codes=codes, recording=recording, **wanted)
        if codes is not None:
            name = self.artifacts.write_all_codes(
                job.id, fence=0, codes=codes, metadata={}, kind="prompt"
            )
            assert name == job.prompt_codes_name
        if recording is not None:
            with self.artifacts.new_file(job.id, job.prompt_audio_name) as path:
                write_audio(path, recording, 16_000)
        self.store.create(job)
        return job

    def post(self, **wanted) -> str:
        """Create a job and send it; returns its id."""
        job = self.admit(**wanted)
        self.queue.publish(job.id, job.stage)
        return job.id

    def wait(self, job_id, reached, *, timeout_sec=PATIENCE_SEC) -> Job:
        """Poll until `reached(job)`; the job then."""
        deadline = time.monotonic() + timeout_sec
        while time.monotonic() < deadline:
            job = self.store.get(job_id, with_windows=True)
            if reached(job):
                return job
            time.sleep(0.02)
        raise AssertionError(f"after {timeout_sec} s: {job}")

    def wait_end(self, job_id, **options) -> Job:
        return self.wait(job_id, lambda job: job.is_terminal, **options)

    def end_lease(self, job_id: str) -> None:
        """What the rest of its lease would do to a job whose worker has died."""
        job = self.store.get(job_id)
        assert job.worker is not None
        claim = Claim(job=job, fence=job.fence, worker=job.worker)
        self.store.heartbeat(claim, {}, job.progress_value, lease_sec=0.0)

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
            # The slower step: there is time to look at a song while it is drawn.
            "JUKEBOX_BACKEND": "torch",
            "JUKEBOX_LEASE_SEC": str(LEASE_SEC),
            "JUKEBOX_TUNING": "reaper_sec=0.3",
            "JUKEBOX_HEALTH_FILE": str(self.data_dir / "worker.alive"),
            "OMP_NUM_THREADS": "1",
            **settings,
        }


def recording(seconds, rate_hz=16_000):
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    sound = 0.2 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 331 * time**1.3)
    return sound.astype(np.float32)


def random_codes(num_rows, **num_tokens):
    random = np.random.default_rng(5)
    return {level: random.integers(0, 256, (num_rows, n)) for level, n in num_tokens.items()}


def make_job(catalog: ModelCatalog, *, codes=None, recording=None, parent=None, **wanted) -> Job:
    """A job of any mode; `duration_seconds` is the whole length here."""
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
        prompt_codes_name=_prompt_name(codes) if codes is not None else None,
        prompt_audio_name="prompt.wav" if recording is not None else None,
        parent_id=parent.id if parent is not None else None,
        root_id=parent.root_id if parent is not None else "",
        parent_sample=request.sample if parent is not None else None,
    )
    return _with_plan(job, card.config, _prompt_tokens(job, card.config, codes, recording))


def _prompt_name(codes):
    return f"prompt-to-{list(codes)[-1]}-fence000000.safetensors"


def _prompt_tokens(job, config, codes, recording):
    if codes is not None:
        return {Level.from_label(level): rows.shape[1] for level, rows in codes.items()}
    if recording is None:
        return {}
    return {
        level: config.time_base.seconds_to_tokens(len(recording) / 16_000, level)
        for level in map(Level.from_label, job.request.levels)
    }


def _with_plan(job, config, prompt_tokens):
    planned = plan_request(
        job.request, config, duration_sec=job.duration_sec, prompt_tokens=prompt_tokens
    )
    plan = planned.level_plans()
    values = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    return Job(**(values | {"plan": plan}))


class Alone:
    """The song of a job as the library sings it: no service, no neighbors.

    With the weights and the step that the job was drawn with, or else with those that a worker
    takes here.
    """

    def __init__(self, models_dir: Path, job: Job) -> None:
        self.model = JukeboxModel.from_pretrained(
            models_dir / job.request.model, weights=job.weights or "full"
        )
        self.model.use_backend("auto" if job.step is None else RENAMED.get(job.step, job.step))
        self.song = song = plan_job(job, self.model.config).song
        request = job.request
        self.labels = self.model.tokenizer(
            song.artist,
            song.genre,
            song.lyrics,
            artist_id=request.artist_id,
            genre_ids=request.genre_ids,
        )
        self.options = {
            "song_duration_sec": song.song_duration_sec,
            "offset_sec": song.offset_sec,
            "sampling": song.sampling,
            "levels": song.levels,
            "seed": song.seed,
            "speed": song.speed,
            "channels": song.channels,
            "channel_labels": [
                genre and self.model.tokenizer(song.artist, genre, song.lyrics)
                for genre in request.channel_genres.values()
            ],
        }

    def ancestral(self):
        return self._drawn(self.model.ancestral_sample)

    def primed(self, recording):
        return self._drawn(self.model.primed_sample, recording)

    def continued(self, codes, **choice):
        return self._drawn(self.model.continue_sample, _tensors(codes), **choice)

    def upsampled(self, codes, **choice):
        options = self.options | choice
        drawn = self.model.upsample(_tensors(codes), self.labels, self.song.num_samples, **options)
        return self._named(drawn)

    def _drawn(self, sample, *prompt, **choice):
        length = {"duration_sec": self.song.duration_sec}
        drawn = sample(
            *prompt, self.labels, self.song.num_samples, **length, **self.options, **choice
        )
        return self._named(drawn)

    def _named(self, drawn):
        levels = zip(self.song.levels, drawn, strict=True)
        return {level.label: rows.numpy() for level, rows in levels}


def _tensors(codes):
    return [torch.as_tensor(rows) for rows in codes.values()]


def sing_alone(models_dir: Path, job: Job) -> dict[str, np.ndarray]:
    """The codes of a job without a prompt as the library draws them."""
    return Alone(models_dir, job).ancestral()


def decode_alone(models_dir: Path, codes: np.ndarray, level: str) -> np.ndarray:
    """The sound of codes [S, T]: float32 [S, samples]."""
    model = JukeboxModel.from_pretrained(models_dir / "tiny")
    audio = model.vqvae.decode([torch.as_tensor(codes)], start_level=Level.from_label(level))
    return audio[..., 0].numpy()


def assert_codes(service: Service, job: Job, expected: dict[str, np.ndarray]) -> None:
    """The job's file holds these codes."""
    found = service.codes(job)
    assert list(found) == list(expected)
    for level, codes in expected.items():
        np.testing.assert_array_equal(found[level], codes)


def assert_song(service: Service, job: Job, expected: dict[str, np.ndarray]) -> None:
    """The job ended well, with these codes."""
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert_codes(service, job, expected)


def replaced(parts, **changes):
    """The same parts of a worker but for some."""
    values = {name: getattr(parts, name) for name in type(parts).__dataclass_fields__}
    return type(parts)(**(values | changes))


def freezing(name: str, *, after: int, then_sec: float = 0.0) -> dict[str, str]:
    """Settings of a worker that stops itself while it writes a file, however fast it draws.

    It is one whose name has `name` in it, `after` so many of those are kept; once the worker was
    thawed, each of the following takes `then_sec`.
    """
    fault = {"kind": "stop_in_sync", "name": name, "after": after, "then_sec": then_sec}
    return {"FAULT": json.dumps(fault), "PYTHONPATH": str(INJECT_DIR)}


class WorkerProcess(LoggedProcess):
    """`python -m worker`, with its log in a file."""

    def __init__(self, service: Service, log_path: Path, **settings: str) -> None:
        environment = service.environment(**({"JUKEBOX_LEASE_SEC": str(LONG_LEASE_SEC)} | settings))
        super().__init__("worker", [sys.executable, "-m", "worker"], environment, log_path)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SEC)

    def wait_frozen(self) -> None:
        """Until the process has stopped itself, see `freezing`."""
        stat, deadline = Path(f"/proc/{self.pid}/stat"), time.monotonic() + PATIENCE_SEC
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert self.is_alive, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        if self.is_alive:
            self.ask_to_stop()
            self.thaw()
            try:
                self.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running_worker(service: Service, **settings: str):
    """A worker process; ended, and its log shown, when the block ends."""
    worker = WorkerProcess(service, service.data_dir / "worker.log", **settings)
    try:
        yield worker
    finally:
        worker.end()
        sys.stdout.write(worker.log)


def run_stage(worker: WorkerParts, job_id: str, stage: Stage) -> None:
    """One stage and no other, as a worker does it that does not serve the next."""
    run_song(worker, job_id, stage, following=frozenset())
