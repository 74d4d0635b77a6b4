"""The place where a model grows before it is a model, so that half a one is never found.

`MODELS_DIR/.NAME.pulling/` holds a lock while somebody works in it; the lock goes with the process,
however that ends, and what was done stays for the next one.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jukebox_core.errors import DownloadError

_LOCK_FILE = "lock"
_TRIES = 10
_BETWEEN_TRIES_SEC = 0.05


def is_pulling(models_dir: Path, name: str) -> bool:
    """Whether a living process is fetching this model. Needs no right to write."""
    try:
        lock = os.open(_workplace(models_dir, name) / _LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def pulling_place(models_dir: Path, name: str) -> Iterator[Path]:
    """A folder in which only this process works on the model `name`; it stays when it fails.

    Raises:
        DownloadError: another process is at it.
    """
    place = _workplace(models_dir, name)
    lock = _lock(place, name)
    try:
        yield place
    finally:
        os.close(lock)


def finish_pulling(place: Path, finished: Path, destination: Path) -> None:
    """Give a finished directory its name, and clear the place where it grew."""
    os.rename(finished, destination)
    shutil.rmtree(place)


def _workplace(models_dir: Path, name: str) -> Path:
    return models_dir / f".{name}.pulling"


def _lock(place: Path, name: str) -> int:
    # Whoever asks for a model's state holds the lock for an instant, hence more than one try.
    for _ in range(_TRIES):
        lock = _try_lock(place)
        if lock is not None:
            return lock
        time.sleep(_BETWEEN_TRIES_SEC)
    raise DownloadError(f"another process is fetching {name} already")


def _try_lock(place: Path) -> int | None:
    place.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(place / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        # Somebody has finished and cleared the place in this very moment.
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if _is_still_there(place / _LOCK_FILE, lock):
        return lock
    os.close(lock)
    return None


def _is_still_there(file: Path, lock: int) -> bool:
    """False if another process has finished and cleared the place since the lock was opened."""
    try:
        return file.stat().st_ino == os.fstat(lock).st_ino
    except FileNotFoundError:
        return False
