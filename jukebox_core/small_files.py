"""Small files that somebody else may have put there: only regular ones, and never without a bound.

A FIFO would block whoever opens it, a device never ends, and a list of names of some gigabytes
would take the memory of everybody else.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

MAX_SMALL_BYTES = 16 << 20
"""The label lists of the released models are below 1 MB, configurations far below that."""


def read_small_text(path: Path, max_bytes: int = MAX_SMALL_BYTES) -> str:
    """The text of a file of at most `max_bytes`, in UTF-8.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger.
        UnicodeDecodeError: it is not UTF-8.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        _require_regular(os.fstat(fd), path)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(path))
    return content.decode("utf-8")


def read_small_json(path: Path) -> Any:  # noqa: ANN401 (any JSON)
    """What a small JSON file holds.

    Raises:
        OSError: it cannot be read, see `read_small_text`.
        ValueError: it is not JSON that can be sent on: broken, nested too deeply, or with half a
            character (an unpaired surrogate).
    """
    try:
        values = json.loads(read_small_text(path))
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return values


def require_regular(path: Path) -> None:
    """Raise OSError unless `path` is a regular file or a link to one. Opens nothing."""
    _require_regular(path.stat(), path)


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
