"""Programs that make one file of another: `python -m jukebox_core.audio.NAME SRC DST`.

They run as child processes: each takes seconds of a processor, and decoders have been seen to
crash.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jukebox_core.audio.files import DISK_REFUSED_STATUS, is_refused_by_disk
from jukebox_core.errors import AudioError


def derive(
    name: str,
    description: str | None,
    make: Callable[[Path, Path], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the command line and run `make(source, destination)`; returns the exit status.

    One line on standard error says why it failed. The status is then 1, or 74 when the disk
    refused.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m jukebox_core.audio.{name}", description=description
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        make(parsed.source, parsed.destination)
    except (AudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return DISK_REFUSED_STATUS if is_refused_by_disk(error) else 1
    return 0
