"""What of this machine a fleet may use, and whether there is such a thing here."""

import os
import shutil
import subprocess
from collections.abc import Sequence

INSIDE = "FLEET_SANDBOX"
"""Set for everything in the sandbox."""

_PROBE = (
    "ip link set lo up && ip link add fleet-a type bridge && ip link add fleet-b type veth "
    "&& mount -t tmpfs probe /mnt && unshare --net --mount --uts true"
)


def enter_command(command: Sequence[str]) -> list[str]:
    """`command` in a sandbox that ends with it, and with whoever started it."""
    # `unshare` itself ignores signals while its child runs.
    dying = ["setpriv", "--pdeathsig", "KILL", "--"]
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    return [*dying, *unshare, "--", *command]


def reason_without_sandbox() -> str | None:
    """Why there can be no fleet on this machine; None if there can."""
    missing = [
        name for name in ("ip", "bridge", "unshare", "nsenter", "setpriv") if not shutil.which(name)
    ]
    if missing:
        return f"no {' and no '.join(missing)} (packages iproute2 and util-linux of Linux)"
    tried = subprocess.run(
        enter_command(["sh", "-c", _PROBE]), capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return None
    return f"namespaces, veth or bridges cannot be had: {tried.stderr.strip().splitlines()[-1]}"
