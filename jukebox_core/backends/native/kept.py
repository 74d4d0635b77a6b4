"""What was compiled is kept for later processes of the same user: compiling takes seconds.

In the home folder and nowhere else, as it is code that is run: `XDG_CACHE_HOME` may be a folder
that other services write to as well.
"""

import hashlib
import os
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from jukebox_core.atomic_files import whole_file
from jukebox_core.child_processes import child_environment


def kept_name(command: Sequence[str], files: Sequence[str]) -> str | None:
    """A name for what `command`, a compiler and its options, makes of `files`.

    It stands for their contents, the options, the compiler and its version, and for what
    `-march=native` means here: a home folder may be that of several machines. None where the
    compiler does not tell. Raises FileNotFoundError where there is no such compiler.
    """
    compiler, *options = command
    for_processor = [each for each in options if each.startswith("-m")]
    # What the compiler would run, and its version, told on stderr.
    told = subprocess.run(
        [compiler, "-###", *for_processor, "-E", "-x", "c", os.devnull],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=child_environment(),
    )
    if told.returncode:
        return None
    digest = hashlib.sha256(repr((command, told.stderr)).encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return f"{digest.hexdigest()}.so"


def kept_folder() -> Path | None:
    """The folder for it, made if need be; None where there is none that only this user writes."""
    try:
        folder = Path.home() / ".cache" / "jukebox" / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # there is no home, or it is read-only
        return None
    return folder if is_ours(folder) and os.access(folder, os.W_OK) else None


def is_ours(path: Path) -> bool:
    """Whether it is there, and nobody but this user can have written it."""
    try:
        about = path.stat()
    except OSError:
        return False
    others_write = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return about.st_uid == os.geteuid() and not others_write


def keep(library: Path, place: Path) -> None:
    """Copy `library` to `place`, whole or not at all; a full disk is no error."""
    with suppress(OSError), whole_file(place) as unfinished:
        unfinished.touch(mode=0o600)
        with unfinished.open("r+b") as file:
            file.write(library.read_bytes())
            file.flush()
            os.fsync(file.fileno())
