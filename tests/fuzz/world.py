"""A service as a process, with jobs of every kind and assets, for the fuzzers to find."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cli.local.embedded_redis import EmbeddedRedis
from jobs.api_keys import ApiKeyFile, Scope
from jobs.errors import JobsError
from jobs.files.local_artifacts import LocalArtifacts
from jobs.record.job import Job, JobStatus
from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.times import lyric_times
from jukebox_core.tiny import write_tiny
from tests.api.conftest import song
from tests.api.sounds import codes_file, encoded, tone
from tests.api.test_process import ApiProcess

_LYRICS = "la la\nlo lo"
NUM_DOOMED = 20
_NUM_SUNG = 40


@dataclass(kw_only=True)
class FuzzWorld:
    """Where the service listens, what a fuzzer may know of it, and the files that it holds."""

    url: str
    token: str | None
    api: ApiProcess
    artifacts: LocalArtifacts
    jobs: dict[str, str] = field(default_factory=dict)
    doomed: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def crashes(self) -> list[str]:
        """Lines of the service's log that tell of an error."""
        lines = self.api.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"level": "error"' in line or "Traceback" in line]

    def _post(self, **changes: object) -> str:
        response = self.api.client.post("/jobs", json=song(**changes), headers=self.headers)
        assert response.status_code == 202, response.text
        job_id: str = response.json()["id"]
        return job_id

    def _send(self, content: bytes, name: str) -> str:
        files = {"file": (name, content)}
        response = self.api.client.post("/assets", files=files, headers=self.headers)
        assert response.status_code == 201, response.text
        asset_id: str = response.json()["id"]
        return asset_id

    def furnish(self) -> None:
        """A job in every status that can be held still, two assets, and jobs to throw away."""
        self.jobs["succeeded"] = self._post(num_samples=2, lyrics=_LYRICS)
        self.api.worker.sing(self.jobs["succeeded"])
        self._write_times(self.jobs["succeeded"])
        self.jobs["failed"] = self._post()
        self.api.worker.fail(self.jobs["failed"])
        self.jobs["half_done"] = self._post()
        self.api.worker.finish_level(self.api.worker.claim(self.jobs["half_done"]))
        self.jobs["queued"] = self._post()
        self.jobs["canceled"] = self._post()
        path = f"/jobs/{self.jobs['canceled']}/cancel"
        assert self.api.client.post(path, headers=self.headers).status_code == 200
        for _ in range(NUM_DOOMED):
            self.doomed.append(self._post(levels=["top"]))
            self.api.worker.sing(self.doomed[-1])
        self.assets = [
            self._send(encoded(tone()), "a.wav"),
            self._send(codes_file(), "a.safetensors"),
        ]

    def _write_times(self, job_id: str) -> None:
        attention = np.eye(len(_LYRICS), dtype=np.float32).repeat(10, axis=0)
        times = lyric_times(attention, _LYRICS, tokens_per_second=20.0)
        for sample in range(2):
            with self.artifacts.new_file(job_id, f"alignment-{sample}.json") as path:
                path.write_text(to_json(times), encoding="utf-8")


@contextmanager
def _everything_ends(world: FuzzWorld) -> Iterator[None]:
    """Whatever the fuzzer asks for is sung, or stopped, so that nobody waits for it in vain."""
    over = threading.Event()

    def end_jobs() -> None:
        num_sung = 0
        while not over.wait(0.2):
            for job in world.api.store.list_jobs(status=JobStatus.QUEUED, limit=100).jobs:
                if job.id != world.jobs["queued"]:
                    num_sung += 1
                    _end(world, job, is_sung=num_sung <= _NUM_SUNG)

    thread = threading.Thread(target=end_jobs, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end(world: FuzzWorld, job: Job, *, is_sung: bool) -> None:
    with suppress(JobsError, AssertionError):  # the fuzzer stops and deletes jobs at any moment
        if is_sung and job.duration_sec <= 30:
            world.api.worker.sing(job.id)
        else:
            world.api.store.request_cancel(job.id)


@contextmanager
def fuzz_world(folder: Path, *, locked: bool) -> Iterator[FuzzWorld]:
    """A furnished service in an empty folder; `locked`: it needs an API key."""
    data_dir, models_dir = folder / "data", folder / "models"
    data_dir.mkdir()
    write_tiny(models_dir / "tiny")
    token = None
    if locked:
        _, token = ApiKeyFile(data_dir).create("fuzzer", (Scope.SUBMIT, Scope.READ))
    with EmbeddedRedis(folder / "redis") as server:
        api = ApiProcess(server.url, models_dir, data_dir, **_NO_LIMITS)
        try:
            api.wait_until_ready()
            world = FuzzWorld(
                url=str(api.client.base_url).rstrip("/"),
                token=token,
                api=api,
                artifacts=LocalArtifacts(data_dir / "artifacts"),
            )
            world.furnish()
            with _everything_ends(world):
                yield world
        finally:
            api.stop()


# Otherwise most answers would be 429, which tell nothing.
_NO_LIMITS = {
    "JUKEBOX_LIMITS": "max_queued=0,max_queued_per_key=0,max_posts_per_minute=0,"
    "max_requests_per_minute=0",
}
