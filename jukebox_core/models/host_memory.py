"""How much memory of the host a process may still take: of the machine, its container, its limits.

Linux tells them in files; elsewhere nothing is known, and nothing is refused. No torch.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = {"VmSize:": "RLIMIT_AS", "VmData:": "RLIMIT_DATA"}
"""What `ulimit -v` and `ulimit -d` bound, by the names of what is counted against each."""
_NO_LIMIT = 2**60
"""Limits above are none: version 1 writes the largest number of pages there can be."""


def free_host_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """What can be taken without the kernel having to kill; None where the system does not say.

    Pages of files that the kernel can drop count as free.

    Args:
        proc: where the kernel tells of processes.
        cgroups: where it tells of control groups, version 1 or 2.
    """
    if not sys.platform.startswith("linux"):
        return None
    available = _table(proc / "meminfo").get("MemAvailable:")
    rooms = [] if available is None else [available * 1024]
    rooms += _rooms_in_cgroups(proc, cgroups)
    rooms += _rooms_in_limits(proc)
    return max(min(rooms), 0) if rooms else None


def resident_bytes(proc: Path = PROC) -> int | None:
    """Memory that this process holds now; None where the system does not say."""
    size = _table(proc / "self" / "status").get("VmRSS:")
    return None if size is None else size * 1024


def peak_resident_bytes(proc: Path = PROC) -> int | None:
    """The most that this process has held so far; None where the system does not say."""
    size = _table(proc / "self" / "status").get("VmHWM:")
    return None if size is None else size * 1024


def _rooms_in_limits(proc: Path) -> Iterator[int]:
    """What the limits of this process leave: beyond them the kernel refuses, and kills nobody."""
    import resource  # here, as Windows has none

    sizes = _table(proc / "self" / "status")
    for name, limited in _LIMITS.items():
        limit, _ = resource.getrlimit(getattr(resource, limited))
        if limit != resource.RLIM_INFINITY and name in sizes:
            yield limit - sizes[name] * 1024


def _rooms_in_cgroups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each group that limits this process has left, from its own to the outermost."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        for folder in _with_parents(root, path):
            room = _room_v1(folder) if controllers else _room_v2(folder)
            if room is not None:
                yield room


def _with_parents(root: Path, path: str) -> Iterator[Path]:
    """A container sees its own group as the root, whatever its path is called outside."""
    steps = [step for step in path.split("/") if step not in ("", "..")]
    for length in range(len(steps), -1, -1):
        yield root.joinpath(*steps[:length])


def _room_v2(group: Path) -> int | None:
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    files = _table(group / "memory.stat")
    return _room(limit, used, files.get("active_file", 0) + files.get("inactive_file", 0))


def _room_v1(group: Path) -> int | None:
    limit = _number(group / "memory.limit_in_bytes")
    used = _number(group / "memory.usage_in_bytes")
    files = _table(group / "memory.stat")
    droppable = files.get("total_active_file", 0) + files.get("total_inactive_file", 0)
    return _room(limit, used, droppable)


def _room(limit: int | None, used: int | None, droppable: int) -> int | None:
    if limit is None or limit >= _NO_LIMIT or used is None:
        return None
    return limit - max(used - droppable, 0)


def _number(file: Path) -> int | None:
    """The number in a file; None for `max`, and where there is no such file."""
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _table(file: Path) -> Mapping[str, int]:
    """The lines `name number ...` of a file."""
    words = (line.split() for line in _text(file).splitlines())
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
