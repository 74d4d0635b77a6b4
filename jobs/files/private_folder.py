"""Folders that hold what people wrote and sang: not for other users of the machine."""

import stat
from contextlib import suppress
from pathlib import Path

_MODE = 0o750
"""The group may read: API and workers in containers may run as different users of one group."""


def make_private_folder(folder: Path) -> None:
    """Make a folder, or take the rights of others from one that an earlier release made.

    Raises OSError when it cannot be made. A folder of another owner, or on a read-only disk,
    is left as it is.
    """
    folder.mkdir(mode=_MODE, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IRWXO:
        with suppress(OSError):
            folder.chmod(mode & ~stat.S_IRWXO)
