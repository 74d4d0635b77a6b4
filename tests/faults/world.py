"""One small service made of real processes, each of which a test may kill, freeze or starve."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cli.local.stack import free_port
from jobs.record.job import Job
from tests.fixtures.logged_process import LoggedProcess
from tests.fixtures.servers import RedisServer
from tests.worker.jobs_and_processes import Service

INJECT_DIR = Path(__file__).parent / "inject"
START_SEC = 60.0


class Child(LoggedProcess):
    """A process of the service."""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def wait_frozen(self, timeout_sec: float = 60.0) -> None:
        """Until the process has stopped itself."""
        deadline = time.monotonic() + timeout_sec
        stat = Path(f"/proc/{self.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, f"{self.name} did not freeze"
            time.sleep(0.02)

    def end(self) -> None:
        if not self.is_alive:
            return
        self.thaw()
        self.ask_to_stop()
        try:
            self.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within 15 s: {self.log}") from None


class Api(Child):
    """`python -m api`, with a client."""

    def __init__(self, port: int, *arguments) -> None:
        super().__init__("api", *arguments)
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False)

    def wait_ready(self) -> "Api":
        deadline = time.monotonic() + START_SEC
        while True:
            with suppress(httpx.TransportError):
                if self.http.get("/healthz").status_code == 200:
                    return self
            assert self.is_alive, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)


@dataclass(kw_only=True)
class World(Service):
    """A server, files, and as many workers and APIs as a test starts."""

    server: RedisServer
    children: list[Child] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)

    def worker(
        self, fault: dict | None = None, *, before: tuple[str, ...] = (), **settings: str
    ) -> Child:
        """Start one; `before` are words of the command in front of Python."""
        number = len(self.children)
        names = {
            "JUKEBOX_WORKER_NAME": f"w{number}",
            "JUKEBOX_HEALTH_FILE": str(self.data_dir / f"worker-{number}.alive"),
            # The slower step: there must be time for a fault in the middle of a song.
            "JUKEBOX_BACKEND": "torch",
        }
        command = [*before, sys.executable, "-m", "worker"]
        environment = self._environment(fault, **(names | settings))
        child = Child(f"w{number}", command, environment, self.data_dir / f"worker-{number}.log")
        self.children.append(child)
        return child

    def api(
        self, fault: dict | None = None, *, before: tuple[str, ...] = (), **settings: str
    ) -> Api:
        """Start one; it may not answer yet."""
        port = free_port()
        environment = self._environment(fault, **({"JUKEBOX_PORT": str(port)} | settings))
        command = [*before, sys.executable, "-m", "api"]
        log_path = self.data_dir / f"api-{len(self.children)}.log"
        child = Api(port, command, environment, log_path)
        self.children.append(child)
        return child

    def _environment(self, fault: dict | None, **settings: str) -> dict[str, str]:
        environment = self.environment(**settings) | {"PYTHONUNBUFFERED": "1"}
        if fault is not None:
            environment |= {"FAULT": json.dumps(fault), "PYTHONPATH": str(INJECT_DIR)}
        return environment

    def wait_kept(self, job_id: str, level: str, windows: int) -> Job:
        """Until so many windows of a level are on disk."""

        def has_kept(job: Job) -> bool:
            return len(job.codes_of(level)) >= windows

        return self.wait(job_id, has_kept, timeout_sec=60.0)

    def wait_workers(self, number: int) -> None:
        """Until so many workers are ready for jobs."""
        deadline = time.monotonic() + START_SEC
        while len(self.store.workers()) < number:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def files(self, job_id: str) -> list[str]:
        folder = self.data_dir / "artifacts" / job_id
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def end(self) -> None:
        """All children end as they are told; their logs are shown."""
        errors = []
        for child in self.children:
            try:
                child.end()
            except AssertionError as error:
                errors.append(str(error))
            if isinstance(child, Api):
                child.http.close()
        for child in self.children:
            sys.stdout.write(f"--- {child.name}\n{child.log}\n")
        assert not errors, errors

    def left_processes(self) -> list[int]:
        """Processes of this world that still run, children of its children too."""
        mine = str(self.data_dir).encode()
        known = {child.pid for child in self.children if child.is_alive}
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) in known:
                continue
            with suppress(OSError):
                # Children of children are known by the files in their commands.
                words = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
                if mine in words:
                    found.append(int(folder.name))
        return found
