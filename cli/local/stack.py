"""The local stack: an embedded server, a worker and the API, each a process of its own."""

import errno
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import StackError, UsageError
from cli.local.child_settings import INHERITED
from cli.local.job_store import end_leases, require_welcome
from cli.local.processes import ChildProcess
from cli.local.signals import StopSignals
from cli.program import serve_on
from jobs.setting_groups import PREFIX, read_group
from jukebox_client import JukeboxClient, ProblemError, ServiceUnreachable
from jukebox_core.buckets import OF_BUCKETS, BucketUrl, Place
from jukebox_core.child_processes import child_environment, python_command

if TYPE_CHECKING:
    from cli.local.embedded_redis import EmbeddedRedis

PORTS: Sequence[int] = range(20_000, 32_768)
"""Where a free one is looked for: Linux gives none of these to whoever asks for any port."""
LOGS_FOLDER = "logs"
"""Beneath the data folder: one file for each process."""
START_TIMEOUT_SEC = 120.0
STOP_TIMEOUT_SEC = 15.0
MAX_RESTARTS = 5
RESTARTS_WITHIN_SEC = 120.0
_POLL_SEC = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """Where the stack keeps its files and listens.

    `models_dir` may be in a bucket, whose credentials API and worker then inherit.
    `redis_url` names a server that runs already; None starts an embedded one in `data_dir`.
    `webhooks` lets jobs name a `webhook_url`, and starts the process that sends to it.
    `isolated` hides settings in the environment from the children, except the choice of device.
    """

    data_dir: Path
    models_dir: Place
    host: str = "127.0.0.1"
    port: int = 8000
    redis_url: str | None = None
    webhooks: bool = False
    isolated: bool = False

    @property
    def url(self) -> str:
        """Where a client on this machine finds the API."""
        return local_url(self.host, self.port)

    def environment(self, module: str, redis_url: str) -> dict[str, str]:
        """The environment of a child: its settings by name, and where it finds everything."""
        data_dir = self.data_dir.absolute()
        models_dir = self.models_dir
        if isinstance(models_dir, Path):
            models_dir = models_dir.absolute()
        name = "webhooks" if module == "jobs.webhooks" else "worker"
        set_here = {
            "REDIS_URL": redis_url,
            "JUKEBOX_DATA_DIR": str(data_dir),
            "JUKEBOX_MODELS_DIR": str(models_dir),
            "JUKEBOX_HOST": self.host,
            "JUKEBOX_PORT": str(self.port),
            "JUKEBOX_WEBHOOKS": "on" if self.webhooks else "off",
            "PYTHONUNBUFFERED": "1",
        }
        defaults = {
            "JUKEBOX_HEALTH_FILE": str(data_dir / f"{name}.alive"),
        }
        inherited = [each for each in INHERITED[module] if self._inherits(each)]
        if isinstance(models_dir, BucketUrl):
            inherited += [each for each in os.environ if each.startswith(OF_BUCKETS)]
        environment = defaults | child_environment(*inherited, **set_here)
        _keep_for_ever(environment)
        return environment

    def _inherits(self, name: str) -> bool:
        return not (self.isolated and name.startswith("JUKEBOX_") and name != "JUKEBOX_DEVICE")


def _keep_for_ever(environment: dict[str, str]) -> None:
    """What somebody made on a machine of their own is not thrown away, unless they said when."""
    group = "JUKEBOX_RETENTION"
    told = environment.get(group, "")
    said = read_group(group, told)
    for name in ("keep_jobs_sec", "keep_assets_sec"):
        if name not in said and f"{PREFIX}{name.upper()}" not in environment:
            told = ",".join(filter(None, (told, f"{name}=0")))
    environment[group] = told


class Stack:
    """Started processes. `running_stack` makes one and ends it again."""

    def __init__(self, settings: StackSettings, signals: StopSignals) -> None:
        self.settings = settings
        self._signals = signals
        self._server: EmbeddedRedis | None = None
        self._children: list[ChildProcess] = []
        self._watchdog: subprocess.Popen[str] | None = None
        self._restarts: dict[str, list[float]] = {}

    @property
    def url(self) -> str:
        """Where a client on this machine finds the API."""
        return self.settings.url

    @property
    def logs_dir(self) -> Path:
        """One file for each process; for its owner alone, as lyrics and addresses may be in it."""
        return self.settings.data_dir / LOGS_FOLDER

    def start(self) -> None:
        """Start everything and wait until a job could be posted.

        Raises:
            UsageError: the port is taken.
            StackError: a process did not start; its last lines are in the message.
        """
        require_free_port(self.settings.host, self.settings.port)
        self.logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs_dir.chmod(0o700)
        with self._signals.deferred():
            self._watchdog = _start_watchdog()
            redis_url = self._redis_url()
            senders = ["jobs.webhooks"] if self.settings.webhooks else []
            for module in (*senders, "worker", "api"):
                self._start_child(module, self.settings.environment(module, redis_url))
        self._wait_until_ready()

    def check(self) -> None:
        """Keep the logs short. Raises StackError when a process has died."""
        for child in self._children:
            child.cap_log()
            status = child.exit_status()
            if status is not None:
                raise StackError(f"the {child.name} {_ended(status)}. {_end_of_log(child)}")

    def revive(self, tell: Callable[[str], None]) -> None:
        """Keep the logs short, and start what has died again; `tell` hears a sentence for each.

        The kernel kills a worker that takes too much memory: its song goes on in the next one.

        Raises:
            StackError: a process died more than MAX_RESTARTS times within RESTARTS_WITHIN_SEC.
        """
        with self._signals.deferred():
            self._revive_server(tell)
            for child in self._children:
                child.cap_log()
                status = child.exit_status()
                if status is not None:
                    self._count_restart(child.name, _end_of_log(child))
                    tell(f"the {child.name} {_ended(status)}: started again. Log: {child.log_path}")
                    self._tell_watchdog("forget", child.pid)
                    if child.name == "worker":
                        end_leases(child)
                    child.restart()
                    self._tell_watchdog("watch", child.pid)

    def _revive_server(self, tell: Callable[[str], None]) -> None:
        server = self._server
        status = server.exit_status() if server is not None else None
        if server is None or status is None:
            return
        # Imported here, as in `_redis_url`.
        from cli.local.embedded_redis import EmbeddedRedisError

        self._count_restart("embedded server", f"Its log: {self.settings.data_dir / 'redis'}")
        tell(f"the embedded server {_ended(status)}: started again")
        self._tell_watchdog("forget", server.pid)
        try:
            server.restart()
        except EmbeddedRedisError as error:
            raise StackError(str(error)) from error
        self._tell_watchdog("watch", server.pid)

    def _count_restart(self, name: str, log_end: str) -> None:
        now = time.monotonic()
        times = [at for at in self._restarts.get(name, []) if now - at < RESTARTS_WITHIN_SEC]
        if len(times) >= MAX_RESTARTS:
            raise StackError(
                f"the {name} ended {len(times) + 1} times within {RESTARTS_WITHIN_SEC:.0f} s. "
                f"{log_end}"
            )
        self._restarts[name] = [*times, now]

    def last_lines(self, name: str) -> str:
        """The end of the log of `worker` or `api`; empty when it was never started."""
        return next((child.last_lines() for child in self._children if child.name == name), "")

    def stop(self) -> None:
        """End everything that was started, the server last; what is gone already is no error."""
        with self._signals.deferred():
            for child in self._children:
                child.ask_to_stop()
            deadline = time.monotonic() + STOP_TIMEOUT_SEC
            for child in self._children:
                child.wait_or_kill(deadline)
                self._tell_watchdog("forget", child.pid)
            self._children.clear()
            self._stop_server()
            self._stop_watchdog()

    def _redis_url(self) -> str:
        if self.settings.redis_url is not None:
            require_welcome(self.settings.redis_url)
            return self.settings.redis_url
        # Imported here: a machine that only talks to a service elsewhere has no redis client.
        from cli.local.embedded_redis import EmbeddedRedis, EmbeddedRedisError

        server = EmbeddedRedis(self.settings.data_dir)
        try:
            server.start()
        except EmbeddedRedisError as error:
            raise StackError(str(error)) from error
        self._server = server
        self._tell_watchdog("watch", self._server.pid)
        return self._server.url

    def _start_child(self, module: str, environment: dict[str, str]) -> None:
        command = python_command(module)
        log_path = self.logs_dir / f"{module}.log"
        child = ChildProcess(module, command, env=environment, log_path=log_path)
        self._children.append(child)
        self._tell_watchdog("watch", child.pid)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SEC
        with JukeboxClient(self.url) as client:
            while not _has_worker(client):
                self.check()
                if time.monotonic() > deadline:
                    raise StackError(self._late_message())
                time.sleep(_POLL_SEC)

    def _late_message(self) -> str:
        logs = "\n".join(f"{c.log_path}:\n{c.last_lines(8)}" for c in self._children)
        return f"the service was not ready after {START_TIMEOUT_SEC:.0f} s\n{logs}"

    def _tell_watchdog(self, verb: str, pid: int) -> None:
        if self._watchdog is None or self._watchdog.stdin is None:
            return
        with suppress(BrokenPipeError):  # somebody killed it: this process still stops its own
            self._watchdog.stdin.write(f"{verb} {pid}\n")
            self._watchdog.stdin.flush()

    def _stop_server(self) -> None:
        if self._server is not None:
            pid = self._server.pid
            self._server.stop()
            self._tell_watchdog("forget", pid)
            self._server = None

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.communicate()
            self._watchdog = None


def _ended(status: int) -> str:
    """How a process ended, for people."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (short of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _end_of_log(child: ChildProcess) -> str:
    return f"The end of {child.log_path}:\n{child.last_lines()}"


@contextmanager
def running_stack(settings: StackSettings, signals: StopSignals) -> Iterator[Stack]:
    """A stack that is ready for jobs; ended when the block ends, however it ends."""
    stack = Stack(settings, signals)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def local_url(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`."""
    reached = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment, and that nobody gets by chance soon after."""
    for port in random.sample(PORTS, 20):
        with suppress(UsageError):
            require_free_port(host, port)
            return port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def other_free_port(host: str, port: int) -> int:
    """A port near `port` that can be listened on, or `port` + 1 where none is."""
    first = max(port + 1, 1024)  # those below are for root
    for other in range(first, min(first + 50, 65_536)):
        with suppress(OSError):
            _bind(host, other)
            return other
    return min(first, 65_535)


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As servers do: a port whose last connections are still fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def require_free_port(host: str, port: int) -> None:
    """Raise UsageError when `port` cannot be listened on."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise UsageError(
                f"cannot listen on {host}:{port} ({error.strerror}). Give --host an address of "
                "this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
            ) from error
        raise UsageError(
            f"cannot listen on {host}:{port} ({error.strerror}). Stop what uses this port, or "
            f"choose another: `{serve_on(other_free_port(host, port))}`"
        ) from error


def _has_worker(client: JukeboxClient) -> bool:
    try:
        return client.is_ready() and bool(client.get_system().workers)
    except ServiceUnreachable:
        return False
    except ProblemError as problem:
        # A service with keys tells those without one nothing of its workers.
        return problem.status in (401, 403)


def _start_watchdog() -> subprocess.Popen[str]:
    return subprocess.Popen(
        python_command("cli.local.watchdog"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env=child_environment(),
        start_new_session=True,
    )
