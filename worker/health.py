"""Signs of life: a line in the store for people, a file for whoever may restart the process.

`python -m worker.health` exits 0 when the file was touched lately, else 1, and says why. It needs
neither the store nor the model, so that a worker is not killed because Redis is away; and it runs
every few seconds, so this module imports little.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import StoreUnavailable

if TYPE_CHECKING:
    from jobs.record.job import Stage
    from jobs.store import JobStore, WorkerInfo

log = logging.getLogger(__name__)

BEAT_SEC = 2.0
ANNOUNCE_TTL_SEC = 10.0
MAX_AGE_SEC = 30.0


class Presence(threading.Thread):
    """Tells every two seconds that this worker lives, as long as its engine does.

    The file is touched from the start, the store told only once the worker is ready for jobs.
    """

    def __init__(
        self,
        store: "JobStore",
        describe: "Callable[[], WorkerInfo]",
        *,
        health_file: Path,
        is_engine_alive: Callable[[], bool],
    ) -> None:
        super().__init__(name="presence", daemon=True)
        self._store, self._describe = store, describe
        self._health_file = health_file
        self._is_engine_alive = is_engine_alive
        self._is_ready = self._is_stopping = False
        self._news = threading.Event()

    def run(self) -> None:
        """Until `stop`, or until the engine died."""
        while self._is_engine_alive() and not self._is_stopping:
            self._touch()
            if self._is_ready:
                self._announce()
            self._news.wait(BEAT_SEC)
            self._news.clear()
        self._health_file.unlink(missing_ok=True)

    def set_ready(self) -> None:
        """The worker takes jobs from now on."""
        self._is_ready = True
        self._news.set()

    def stop(self) -> None:
        """No more signs of life."""
        self._is_stopping = True
        self._news.set()

    def _touch(self) -> None:
        try:
            self._health_file.touch()
        except OSError as error:
            log.warning("cannot touch %s: %s", self._health_file, error)

    def _announce(self) -> None:
        try:
            self._store.announce_worker(self._describe(), ttl_sec=ANNOUNCE_TTL_SEC)
        except StoreUnavailable as error:
            log.warning("cannot announce this worker: %s", error)


def describe_worker(
    name: str, device: str, models: Callable[[], tuple[str, ...]], stages: "tuple[Stage, ...]"
) -> "WorkerInfo":
    """What `GET /system` shows of this worker."""
    from jobs.store import WorkerInfo

    return WorkerInfo(
        name=name, device=device, models=models(), stages=stages, seen_at=datetime.now(UTC)
    )


def examine(health_file: Path) -> tuple[bool, str]:
    """Whether the worker that touches this file has done so lately, and a sentence about it."""
    try:
        age_sec = time.time() - health_file.stat().st_mtime
    except FileNotFoundError:
        return False, f"{health_file} is not there: the process is still starting, or it failed"
    except OSError as error:
        return False, f"cannot look at {health_file}: {error.strerror}"
    if age_sec < MAX_AGE_SEC:
        return True, f"last sign of life {max(age_sec, 0):.0f} s ago"
    return False, (
        f"no sign of life for {age_sec:.0f} s, where {MAX_AGE_SEC:.0f} are allowed: the process "
        "hangs, or its engine has ended"
    )


def main() -> int:
    """Exit status for a container's health check."""
    is_alive, sentence = examine(_health_file())
    sys.stdout.write(f"{sentence}\n")
    return 0 if is_alive else 1


def _health_file() -> Path:
    if configured := os.environ.get("JUKEBOX_HEALTH_FILE"):
        return Path(configured)
    # Half a second of a processor: not every five seconds, where containers name the file.
    from jobs.settings import default_health_file

    return default_health_file()


if __name__ == "__main__":
    sys.exit(main())
