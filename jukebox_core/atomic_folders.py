"""Folders that appear whole or not at all, and take the place of others without a gap."""

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Of `renameat2` of Linux."""
_UNKNOWN_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """A temporary directory beside `directory` that takes its place at the end.

    Until then, and on failure, the directory that is there stays as it is. So does it if the
    process is killed: at every moment the old or the new one is there, whole. What a killed process
    has left beside it is removed by the next one that writes this directory.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(directory) as workplace:
        unfinished = workplace / directory.name
        unfinished.mkdir()
        yield unfinished
        _take_place(unfinished, directory)


@contextmanager
def _workplace(directory: Path) -> Iterator[Path]:
    """A hidden directory that is locked as long as this process lives."""
    prefix = f".{directory.name}.unfinished-"
    with _locked(directory.parent):
        for abandoned in directory.parent.glob(f"{_literal(prefix)}*"):
            _remove_if_abandoned(abandoned)
        workplace = tempfile.TemporaryDirectory(dir=directory.parent, prefix=prefix)
        lock = os.open(workplace.name, os.O_RDONLY)
        _try_lock(lock)
    try:
        with workplace:
            yield Path(workplace.name)
    finally:
        os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else makes or removes workplaces in `folder`, where its file system knows locks."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        _try_lock(lock, waits=True)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int, *, waits: bool = False) -> bool:
    """False where somebody has the lock, and where the file system knows none."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_if_abandoned(workplace: Path) -> None:
    try:
        lock = os.open(workplace, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        if _try_lock(lock):
            shutil.rmtree(workplace, ignore_errors=True)
    finally:
        os.close(lock)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _take_place(finished: Path, place: Path) -> None:
    """Give `finished` its name; what had it goes, or lies where `finished` was."""
    try:
        os.rename(finished, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    else:
        return
    _sync(finished)
    if not _exchange(finished, place):
        _take_place_in_two_steps(finished, place)


def _sync(folder: Path) -> None:
    """The disk has it all before anything else goes."""
    for path in (*(path for path in folder.rglob("*") if path.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Give each the name of the other in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if rename(*names, _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_HERE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _take_place_in_two_steps(finished: Path, place: Path) -> None:
    """In between the old one has another name, which is not hidden: whoever looks will find it."""
    replaced = place.with_name(f"{place.name}.replaced-{secrets.token_hex(4)}")
    os.rename(place, replaced)
    try:
        os.rename(finished, place)
    except OSError:
        os.rename(replaced, place)
        raise
    if replaced.is_dir() and not replaced.is_symlink():
        shutil.rmtree(replaced)
    else:
        replaced.unlink()
