"""What the processes of a service take: seconds of processors and memory, from the kernel."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process since it started, its threads included."""

    cpu_sec: float
    resident_bytes: int


def usage_of(pid: int) -> Usage:
    """Raises OSError when the process is gone."""
    folder = Path(f"/proc/{pid}")
    # The name of the program may hold anything; the fields come after its last bracket.
    fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    resident_pages = int((folder / "statm").read_text(encoding="utf-8").split()[1])
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / _TICKS_PER_SEC, resident_pages * _PAGE_BYTES)


def cores_used(
    before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float
) -> dict[str, float]:
    """Mean number of cores that each process, by name, kept busy in between."""
    return {
        name: round((after[name].cpu_sec - usage.cpu_sec) / seconds, 3)
        for name, usage in before.items()
    }
