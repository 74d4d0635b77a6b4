"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A hidden path beside `file` to write to; it becomes `file` at the end, or goes on failure.

    Until then `file` is what it was. The path has the same suffix, and is nobody else's.
    """
    unfinished = unfinished_path(file)
    try:
        yield unfinished
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_path(file: Path) -> Path:
    """A hidden name beside `file`, with the same suffix; nobody else's."""
    return file.with_name(f".{secrets.token_hex(8)}-{file.name}")
