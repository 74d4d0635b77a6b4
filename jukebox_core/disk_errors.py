"""What the system says when a disk takes nothing more, in words for people."""

import errno
import os
from collections.abc import Mapping

_WORDS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EFBIG: "the file is larger than the disk allows",
}
FULL_DISK_ERRNOS = frozenset(_WORDS)
"""Numbers of the errors of a disk that takes nothing more."""


def disk_reason(error: BaseException) -> str | None:
    """E.g. `the disk is full (No space left on device)`; None unless the disk refused.

    An error that was raised from one of the system's counts as that one. Paths are left out: the
    sentence may be for clients of a service.
    """
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _WORDS and number is not None:
            return f"{_WORDS[number]} ({os.strerror(number)})"
        cause = cause.__cause__
    return None
