"""The service on several machines, or on one: started, looked into, and ended again."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cli.local.embedded_redis import find_server
from jobs.record.job import Job as Record
from jobs.store import JobStore
from jukebox_client import Job, JukeboxClient
from tests.fixtures import s3_server
from tests.fixtures.s3_server import BUCKET, CREDENTIALS
from tests.fleet.machines import (
    DISK,
    Machine,
    Process,
    Traffic,
    environment_of_checkout,
    wait_for,
)

PASSWORD = "with a : and an @"
S3_PORT = 9000
LEASE_SEC = 5.0
START_SEC = 90.0
STAGES = {"top": "top", "middle": "middle,bottom", "render": "render"}
"""By machine: what its worker serves."""


@dataclass(frozen=True)
class Song:
    """What is compared: everything that a client can download of a song, by hash."""

    sounds: Mapping[str, str]
    codes: str


@dataclass
class Fleet:
    """Machines for records and files, for the API, and for workers; the names are theirs.

    They share no disk: files are in a bucket. With `workers` empty, one machine does it all, with
    files in a folder.
    """

    logs_dir: Path
    workers: Mapping[str, str] = field(default_factory=lambda: dict(STAGES))
    concurrency: int = 8
    first_number: int = 10
    machines: dict[str, Machine] = field(init=False, default_factory=dict)
    processes: dict[str, Process] = field(init=False, default_factory=dict)
    _open: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> "Fleet":
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def redis_url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@{self.machines['store'].address}:6379/0"

    @property
    def url(self) -> str:
        return f"http://{self.machines['api'].address}:8000"

    def _start(self) -> None:
        self.logs_dir.mkdir(parents=True, exist_ok=True)
        if self.workers:
            for name in ("store", "api", *self.workers):
                self.add_machine(name)
        else:
            alone = self.add_machine("alone")
            self.machines |= dict.fromkeys(("store", "api"), alone)
        self._start_store()
        self.store = JobStore(self.redis_url)
        self._open.callback(self.store.close)
        self.key = self._create_key()
        self.start_api()
        for name, stages in (self.workers or {"alone": "top,middle,bottom,render"}).items():
            self.start_worker(name, stages)
        self.wait_workers(len(self.workers) or 1)

    def _create_key(self) -> str:
        place = self._place
        told = self.machines["api"].inside(
            *("env", *(f"{name}={value}" for name, value in place.items())),
            *(str(Path(sys.executable).parent / "jukebox"), "keys", "create", "fleet", "--json"),
            *("--scopes", "submit,read,admin", "--data-dir", place["JUKEBOX_DATA_DIR"]),
        )
        return json.loads(told)["key"]

    def add_machine(self, name: str) -> Machine:
        machine = Machine(name, self.first_number + len(self.machines), self.logs_dir)
        self.machines[name] = machine
        return machine

    @property
    def _place(self) -> dict[str, str]:
        """Where the files of the service are: a bucket, or a folder of the one machine."""
        if not self.workers:
            return {"JUKEBOX_DATA_DIR": str(DISK / "data")}
        endpoint = f"http://{self.machines['store'].address}:{S3_PORT}"
        return CREDENTIALS | {
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "JUKEBOX_DATA_DIR": f"s3://{BUCKET}/fleet",
            "JUKEBOX_TUNING": f"cache_dir={DISK}/cache",
        }

    def _settings(self, name: str) -> dict[str, str]:
        return (
            environment_of_checkout()
            | {
                "REDIS_URL": self.redis_url,
                "JUKEBOX_MODELS_DIR": str(DISK),
                "JUKEBOX_LOG_FORMAT": "json",
                "OMP_NUM_THREADS": "1",
            }
            | self._place
        )

    def _start_store(self) -> None:
        machine = self.machines["store"]
        machine.path(DISK / "redis").mkdir()
        words = {
            "--bind": machine.address,
            "--requirepass": PASSWORD,
            "--dir": str(DISK / "redis"),
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
        }
        command = [str(find_server()), *(word for pair in words.items() for word in pair)]
        self._start_server(machine, "valkey", command, ready="Ready to accept connections")
        if self.workers:
            self._start_bucket(machine)

    def _start_bucket(self, machine: Machine) -> None:
        words = ["--host", machine.address, "--port", str(S3_PORT)]
        command = [sys.executable, "-W", "ignore", s3_server.__file__, *words]
        self._start_server(machine, "s3", command, ready="http://")

    def _start_server(self, machine: Machine, name: str, command: list[str], *, ready: str) -> None:
        """Start one that says in its log when it is ready."""
        server = machine.start(name, command, environment_of_checkout())
        self.processes[name] = server
        wait_for(
            lambda: ready in server.log or not server.is_alive, timeout_sec=START_SEC, what=name
        )
        assert server.is_alive, server.log

    def start_api(self) -> Process:
        machine = self.machines["api"]
        settings = {"JUKEBOX_HOST": machine.address, "JUKEBOX_PORT": "8000"}
        limits = "JUKEBOX_LIMITS"
        settings[limits] = "max_queued_per_key=0,max_posts_per_minute=0,max_requests_per_minute=0"
        self.processes["api"] = machine.start(
            "api", [sys.executable, "-m", "api"], self._settings("api") | settings
        )
        self.client = self._open.enter_context(self.new_client())
        wait_for(self.client.is_alive, timeout_sec=START_SEC, what="the API")
        return self.processes["api"]

    def new_client(self) -> JukeboxClient:
        """One that bears an API which is away for a while."""
        return JukeboxClient(self.url, api_key=self.key, patience_sec=60.0)

    def start_worker(self, name: str, stages: str) -> Process:
        """Start one on the machine of this name; it may not be ready yet."""
        settings = {
            "JUKEBOX_STAGES": stages,
            "JUKEBOX_LEASE_SEC": str(LEASE_SEC),
            "JUKEBOX_CONCURRENCY": str(self.concurrency),
            "JUKEBOX_WORKER_NAME": name,
            "JUKEBOX_DEVICE": "cpu",
            "JUKEBOX_HEALTH_FILE": str(DISK / "alive"),
        }
        process = self.machines[name].start(
            name, [sys.executable, "-m", "worker"], self._settings(name) | settings
        )
        self.processes[name] = process
        return process

    def wait_workers(self, number: int) -> float:
        """Until so many are ready; returns the seconds."""
        return wait_for(
            lambda: len(self.store.workers()) >= number, timeout_sec=START_SEC, what="workers"
        )

    def restart_all(self, *, clocks: Mapping[str, str | None]) -> None:
        """End API and workers, and start them with other clocks."""
        names = ["api", *self.workers]
        for name in names:
            self.processes[name].end()
        wait_for(lambda: not self.store.workers(), timeout_sec=START_SEC, what="workers to go")
        for name in names:
            self.machines[name].clock = clocks.get(name)
        self.start_api()
        for name, stages in self.workers.items():
            self.start_worker(name, stages)
        self.wait_workers(len(self.workers))

    def post(self, seed: int, seconds: float, **fields: object) -> str:
        """Ask for a song; returns its id."""
        return self.client.create_job(song_request(seed, seconds) | fields).id

    def record(self, job_id: str) -> Record:
        return self.store.get(job_id, with_windows=True)

    def wait_kept(self, job_id: str, level: str, windows: int = 1) -> None:
        """Until so many windows of a level are on record."""
        wait_for(
            lambda: len(self.record(job_id).codes_of(level)) >= windows,
            timeout_sec=START_SEC,
            what=f"{windows} windows of {level}",
        )

    def song(self, job: Job, folder: Path) -> Song:
        """Download everything of a song through the API."""
        folder.mkdir(parents=True, exist_ok=True)
        sounds = {}
        for output in job.outputs:
            path = folder / f"{output.level}-{output.sample}.{output.format}"
            self.client.download_audio(
                job, path, level=output.level, sample=output.sample, overwrite=True
            )
            sounds[path.name] = _sha256(path)
        codes = self.client.download_codes(job.id, folder / "codes.safetensors", overwrite=True)
        return Song(sounds=sounds, codes=_sha256(codes))

    def draws(self, job_id: str) -> Counter[tuple[str, int, int]]:
        """How often each window of a song was drawn, by any worker so far."""
        counted: Counter[tuple[str, int, int]] = Counter()
        for machine in dict.fromkeys(self.machines.values()):
            for process in machine.processes:
                for line in process.log.splitlines():
                    if job_id in line and '"window drawn"' in line:
                        told = json.loads(line)
                        counted[told["level_"], told["start"], told["end"]] += 1
        return counted

    def traffic(self) -> dict[str, Traffic]:
        return {name: machine.traffic() for name, machine in self.machines.items()}

    def end(self) -> None:
        """End every process and every machine; logs stay where they are."""
        self._open.close()
        for machine in dict.fromkeys(reversed(self.machines.values())):
            machine.end()
        self.machines.clear()


def song_request(seed: int, seconds: float) -> dict[str, object]:
    return {
        "model": "mini",
        "artist": "silkmora",
        "genre": "mossballad",
        "lyrics": "oh la la, the river is wide",
        "duration_seconds": seconds,
        "seed": seed,
    }


def drawn_again(draws: Counter[tuple[str, int, int]]) -> int:
    """Windows drawn beyond the first time."""
    return sum(draws.values()) - len(draws)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
