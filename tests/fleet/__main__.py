"""`python -m tests.fleet [burst ...]`: the tests of the fleet, or a burst of songs, in a sandbox.

The sandbox is a network, a table of processes and a table of mounts of its own. When this command
ends, however it ends, the kernel ends every process in it and removes every network interface.
"""

import os
import subprocess
import sys

from tests.fleet.sandbox import INSIDE, enter_command, reason_without_sandbox

COMMANDS = {
    "burst": [sys.executable, "-m", "tests.fleet.burst"],
    "test": [sys.executable, "-m", "pytest", "-q", "-m", "fleet", "tests/fleet"],
}


def main() -> int:
    """Exit status of the tests, or of the burst; 0 where there is no sandbox."""
    words = sys.argv[1:]
    command = COMMANDS[words.pop(0) if words and words[0] in COMMANDS else "test"]
    reason = reason_without_sandbox()
    if reason:
        sys.stdout.write(f"The fleet is skipped: {reason}\n")
        return 0
    sys.stdout.flush()
    environment = os.environ | {INSIDE: "1"}
    return subprocess.run(
        enter_command([*command, *words]), env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
