"""Job records to test with, and the first steps of a job."""

from datetime import UTC, datetime
from typing import Any

from jobs.record.job import (
    CodesFile,
    Job,
    JobError,
    JobStatus,
    LevelMetrics,
    LevelPlan,
    Output,
    Stage,
    new_job_id,
)
from jobs.record.request import JobRequest
from jobs.store import Claim, JobStore
from tests.fixtures.servers import ServerClock

LEASE_SEC = 600.0
SHORT_LEASE_SEC = 60.0
METRICS = LevelMetrics(seconds=1.5, tokens_per_second=83.3)
ERROR = JobError(code="out_of_memory", message="the device is full", retryable=True)


def new_job(
    *,
    model: str = "tiny",
    created_at: datetime | None = None,
    parent: Job | None = None,
    **request: Any,
) -> Job:
    """A queued record of a short song, or of one that goes on from `parent`."""
    complete = {
        "model": model,
        "artist": "The Sawtooths",
        "genre": "drone",
        "lyrics": "là, là ♪",
        "duration_seconds": 2.0,
        "song_duration_seconds": 60.0,
        "seed": 7,
        **request,
    }
    return Job(
        id=new_job_id(),
        status=JobStatus.QUEUED,
        request=JobRequest.model_validate(complete),
        labels={"top": {"version": "v3", "artist": {"name": "The Sawtooths", "id": 3}}},
        plan={"top": LevelPlan(tokens_total=125, windows_total=2, samples_per_token=256)},
        stage=Stage.TOP,
        created_at=created_at if created_at is not None else datetime.now(UTC),
        parent_id=parent.id if parent is not None else None,
        root_id=parent.root_id if parent is not None else "",
    )


def window(*, start: int = 0, end: int = 64, level: str = "top", name: str = "w") -> CodesFile:
    """One kept window."""
    return CodesFile(
        name=name, level=level, start=start, end=end, sha256="0" * 64, num_bytes=4 * (end - start)
    )


def output(*, level: str = "top", sample: int = 0, name: str = "top-0.wav") -> Output:
    """One sound file."""
    return Output(
        name=name,
        level=level,
        sample=sample,
        duration_sec=2.0,
        sample_rate_hz=16_000,
        num_bytes=64_044,
        sha256="1" * 64,
    )


def take(store: JobStore, job: Job, stage: Stage = Stage.TOP, *, lease_sec=LEASE_SEC) -> Claim:
    claim = store.claim(job.id, stage, worker="worker-1", lease_sec=lease_sec)
    assert claim is not None
    return claim


def created(store: JobStore, **request) -> Job:
    job = new_job(**request)
    store.create(job)
    return job


def let_the_lease_end(clock: ServerClock) -> None:
    clock.pass_time(1.2 * SHORT_LEASE_SEC)
