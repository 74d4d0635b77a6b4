"""What Linux tells of processes and of the processor, and its page cache. Imports no torch."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 2**24


def resident_memory_of(pid: int) -> dict[str, int]:
    """Bytes of a process that are resident, by Linux' names; nothing of one that has ended.

    VmRSS now, VmHWM at most, and of those now RssAnon its own and RssFile those of mapped files.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return {}
    parts = dict(line.split(":", 1) for line in lines)
    names = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
    return {name: int(parts[name].split()[0]) * 1024 for name in names if name in parts}


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process since it started, its threads included."""

    cpu_sec: float
    resident_bytes: int


def usage_of(pid: int) -> Usage:
    """Raises OSError when the process is gone."""
    # The name of the program may hold anything; the fields come after its last bracket.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / _TICKS_PER_SEC, resident_memory_of(pid).get("VmRSS", 0))


def cores_used(
    before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float
) -> dict[str, float]:
    """Mean number of cores that each process, by name, kept busy in between."""
    return {
        name: round((after[name].cpu_sec - usage.cpu_sec) / seconds, 3)
        for name, usage in before.items()
    }


def cpu_name() -> str:
    """The model name that /proc/cpuinfo gives."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def evict(files: Iterable[Path]) -> None:
    """Ask the kernel to forget these files; it keeps what a running process has mapped."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_through(path: Path) -> int:
    """Read a file from its beginning to its end into one small buffer; its bytes."""
    buffer, num_bytes = bytearray(_BLOCK_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            num_bytes += count
    return num_bytes
