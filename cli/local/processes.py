"""Child processes of the local stack: a log file each, stopped by their own id."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_SEC = 0.05
_END_BYTES = 64 * 1024
MAX_LOG_BYTES = 16 * 1024 * 1024
"""Of one log of one process; one older log of this length is kept."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class ChildProcess:
    """One process that leads a process group of its own, so that Ctrl-C reaches only its parent.

    Standard output and error go to `log_path`.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], log_path: Path
    ) -> None:
        self.name, self.log_path = name, log_path
        self._command, self.environment = list(command), dict(env)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self.log_path, "ab", opener=_private) as log:
            os.fchmod(log.fileno(), 0o600)
            return subprocess.Popen(
                self._command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def restart(self) -> None:
        """Start a process that has ended again; what it left behind is killed first."""
        kill_group(self.pid)
        self._process.wait()
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Id of the process and of its group."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process alone: it knows best how to end its own children."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until `deadline` (of time.monotonic), then kill; sweep up what it left behind."""
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SEC)
        kill_group(self.pid)
        self._process.wait()

    def last_lines(self, num_lines: int = 15) -> str:
        """The end of the log."""
        with self.log_path.open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - _END_BYTES, 0))
            text = log.read().decode("utf-8", errors="replace")
        return "\n".join(text.splitlines()[-num_lines:])

    def cap_log(self, max_bytes: int = MAX_LOG_BYTES) -> None:
        """Begin the log anew once it is that long; what was in it becomes `NAME.log.1`.

        The process goes on writing to the same file, at its end, so that it is copied and emptied.
        """
        if self.log_path.stat().st_size <= max_bytes:
            return
        older = self.log_path.with_name(f"{self.log_path.name}.1")
        shutil.copyfile(self.log_path, older)
        older.chmod(0o600)
        os.truncate(self.log_path, 0)


def kill_group(group_id: int) -> None:
    """Kill every process of a group; harmless when none is left."""
    try:
        os.killpg(group_id, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return
