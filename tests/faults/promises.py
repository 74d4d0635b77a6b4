"""What the service promises whatever happens, asserted in one place for every fault."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import redis

from jobs.queue import queue_name
from jobs.record.job import TERMINAL_STATUSES, Job, JobStatus, Stage
from jobs.store.connection import connect
from jobs.store.scripts import events_key
from tests.faults.world import World

END_SEC = 110.0
SETTLE_SEC = 60.0
"""Time for a frozen process to notice what it missed and to clean up behind itself, and for a
message that was taken but not acknowledged to come again (30 s, looked for every 10 s)."""


@dataclass
class Undisturbed:
    """Songs as a service without any fault sings them, each sung once."""

    world: World
    _songs: dict[str, Job] = field(default_factory=dict)

    def song_like(self, job: Job) -> Job:
        key = job.request.model_dump_json()
        if key not in self._songs:
            request = job.request.model_dump(exclude={"song_duration_seconds"}, exclude_none=True)
            posted = self.world.post(**request)
            self._songs[key] = self.world.wait_end(posted, timeout_sec=END_SEC)
            assert self._songs[key].status is JobStatus.SUCCEEDED
        return self._songs[key]

    def seconds(self, job: Job) -> float:
        song = self.song_like(job)
        return (song.completed_at - song.started_at).total_seconds()


def assert_promises(
    world: World,
    undisturbed: Undisturbed,
    accepted: Iterable[str],
    *,
    lost_at_most_sec: float,
    failed: Mapping[str, str] | None = None,
    fault: str = "",
) -> list[Job]:
    """Five promises about every accepted job; `failed` tells by id which error is the true reason.

    1. It ends succeeded, or failed with the true reason.
    2. Exactly one result is committed.
    3. Codes and audio are, to the bit, those of an undisturbed run with the same seed.
    4. No file, lease, message or process is left over.
    5. It took at most `lost_at_most_sec` longer than an undisturbed run.
    """
    accepted = list(accepted)
    failed = failed or {}
    jobs = [world.wait_end(job_id, timeout_sec=END_SEC) for job_id in accepted]
    lost_sec = (
        max((job.completed_at - job.created_at).total_seconds() for job in jobs)
        - sum(undisturbed.seconds(job) for job in jobs if job.id not in failed)
        if jobs
        else 0.0
    )
    for job in jobs:
        _assert_true_end(job, failed.get(job.id))
        _assert_one_result(world, job)
        if job.id not in failed:
            _assert_same_song(world, job, undisturbed)
    assert_nothing_left(world, jobs)
    _note(fault, lost_sec)
    assert lost_sec <= lost_at_most_sec
    return jobs


def _assert_true_end(job: Job, code: str | None) -> None:
    if code is None:
        assert job.status is JobStatus.SUCCEEDED, (job.status, job.error)
    else:
        assert (job.status, job.error.code) == (JobStatus.FAILED, code), job.error


def _assert_one_result(world: World, job: Job) -> None:
    with _redis(world) as client:
        events = [fields for _, fields in client.xrange(events_key(job.id))]
    told = [json.loads(event["data"])["status"] for event in events if event["kind"] == "status"]
    assert [status for status in told if status in TERMINAL_STATUSES] == [job.status]
    places = [(output.level, output.sample) for output in job.outputs]
    assert len(places) == len(set(places))
    if job.status is JobStatus.SUCCEEDED:
        wanted = job.request.num_samples * len(job.request.levels)
        assert len(places) == wanted


def _assert_same_song(world: World, job: Job, undisturbed: Undisturbed) -> None:
    song = undisturbed.song_like(job)
    expected = undisturbed.world.codes(song)
    found = world.codes(job)
    assert list(found) == list(expected)
    for level, codes in expected.items():
        np.testing.assert_array_equal(found[level], codes)
    for mine, theirs in zip(job.outputs, song.outputs, strict=True):
        content = world.artifacts.path(job.id, mine.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == mine.sha256 == theirs.sha256


def assert_nothing_left(world: World, jobs: list[Job]) -> None:
    deadline = time.monotonic() + SETTLE_SEC
    while (left := _left(world, jobs)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def _left(world: World, jobs: list[Job]) -> list[str]:
    left = [f"process {pid}" for pid in world.left_processes()]
    for job in jobs:
        left += [f"file {name}" for name in world.files(job.id) if name not in _names(job)]
        if job.lease_expires_at is not None:
            left.append(f"lease of {job.id}")
    with _redis(world) as client:
        left += [f"due {job_id}" for job_id in client.zrange("jukebox:due", 0, -1)]
        for stage in Stage:
            left += [f"message {stage}"] * client.llen(queue_name(stage))
        left += [f"unacked {tag}" for tag in client.hkeys("unacked")]
    return left


def _names(job: Job) -> set[str]:
    """Files that a job owns when it has ended."""
    stems = [Path(output.name).stem for output in job.outputs]
    sounds = {
        f"{stem}.{each}" for stem in stems for each in ("wav", "flac", "ogg", "mp3", "peaks.dat")
    }
    times = {f"alignment-{sample}.json" for sample in range(job.request.num_samples)}
    named = {job.codes_name, job.prompt_codes_name, job.prompt_audio_name, "manifest.json"}
    return sounds | times | {*filter(None, named)} | {codes.name for codes in job.codes}


def _redis(world: World) -> redis.Redis:
    return connect(world.redis_url)


def _note(fault: str, lost_sec: float) -> None:
    """Where `FAULTS_REPORT` names a file, one line for `docs/explanation/faults.md`."""
    if path := os.environ.get("FAULTS_REPORT"):
        name = fault or os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split(" ")[0]
        with Path(path).open("a") as report:
            report.write(json.dumps({"fault": name, "lost_sec": round(lost_sec, 2)}) + "\n")
