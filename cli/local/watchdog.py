"""Ends the local stack when the command that started it was killed.

`python -m cli.local.watchdog` reads `watch PID` and `forget PID` lines. The end of its input means
that the writer is gone, however it died: whatever is still watched is then asked to stop, and
killed together with its process group if it does not. Works wherever pipes do; the kernel's own
"signal me when my parent dies" exists on Linux only.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.local.processes import kill_group

_GRACE_SEC = 10.0


def main() -> None:
    """Watch until the input ends, then stop what is left."""
    # The terminal's Ctrl-C is for the writer; this process outlives it on purpose.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop(read_watched(sys.stdin))


def read_watched(lines: Iterable[str]) -> list[int]:
    """The ids that are still watched when the input ends."""
    watched: dict[int, None] = {}
    for line in lines:
        verb, _, pid = line.strip().partition(" ")
        if verb == "watch":
            watched[int(pid)] = None
        elif verb == "forget":
            watched.pop(int(pid), None)
    return list(watched)


def stop(pids: Sequence[int]) -> None:
    """Ask processes to stop, last started first, and kill the groups of those that do not.

    One after the other: a worker hands its jobs back to a server that must still be there.
    """
    for pid in reversed(pids):
        if not _signal(pid, signal.SIGTERM):
            continue
        deadline = time.monotonic() + _GRACE_SEC
        while _is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        kill_group(pid)


def _is_running(pid: int) -> bool:
    try:
        # Orphans that have ended stay zombies where process 1 does not care, e.g. in a container.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return not Path("/proc/self").exists() and _signal(pid, 0)


def _signal(pid: int, signum: int) -> bool:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
