"""How many processor cores a process has for itself."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores that this process may run on, at least 1: of a container's share, only whole ones.

    cgroup  where the kernel tells the limits of this container (cgroup v2)
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(min(allowed, _share(cgroup / "cpu.max")), 1)


def _share(limit: Path) -> int:
    """Whole cores that a quota like `150000 100000` leaves (1); without one, more than all."""
    if not limit.exists():
        return 2**31
    quota, _, period = limit.read_text(encoding="ascii").partition(" ")
    return int(quota) // int(period) if quota.isdigit() and int(period) else 2**31
