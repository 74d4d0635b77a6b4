"""Machines that share nothing but a network: namespaces of the kernel, joined by a bridge.

Each has a network interface, a host name and a disk (a tmpfs) of its own. All see the programs of
the checkout. The process that makes them is in the sandbox (`tests.fleet.sandbox`) and reaches
every machine at its address.
"""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.logged_process import LoggedProcess

BRIDGE = "fleet"
_SUBNET = "10.77.0"
DISK = Path("/mnt")
"""Where the disk of each machine is mounted: another one in each."""
_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tx checksum": 0x17, "tcp segmentation": 0x1F, "segmentation": 0x24}
END_SEC = 20.0


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_network() -> None:
    """The bridge that all machines are plugged into; the present process is at address 1."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    run("ip", "address", "add", f"{_SUBNET}.1/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


@dataclass(frozen=True)
class Traffic:
    """Bytes of whole Ethernet frames."""

    received_bytes: int
    sent_bytes: int

    def since(self, before: "Traffic") -> "Traffic":
        return Traffic(
            self.received_bytes - before.received_bytes, self.sent_bytes - before.sent_bytes
        )


class Process(LoggedProcess):
    """A process on a machine."""

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, grace_sec: float = END_SEC) -> int:
        """As a kubelet does it: SIGTERM, and SIGKILL to what has not ended after the grace."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        try:
            return self.wait(grace_sec)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self.wait(grace_sec)


class Machine:
    """One host; `clock` shifts what its processes take for the time, as `+1h` does."""

    def __init__(self, name: str, number: int, logs_dir: Path, *, clock: str | None = None) -> None:
        self.name, self.clock = name, clock
        self.address = f"{_SUBNET}.{number}"
        self._logs_dir = logs_dir
        self._line: subprocess.Popen[bytes] | None = None
        self.processes: list[Process] = []
        script = f"hostname {name} && mount -t tmpfs disk {DISK} && echo up && exec sleep infinity"
        self._init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == b"up\n", f"{name} did not start"
        self._plug_in()

    def _plug_in(self) -> None:
        inner = f"{self.name}-0"
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", inner)
        # Frames as they would be on a wire, not the kernel's own of up to 64 KiB.
        for port in (self.name, inner):
            _switch_offloads_off(port)
        run("ip", "link", "set", inner, "netns", str(self._init.pid), "name", "eth0")
        run("ip", "link", "set", self.name, "master", BRIDGE, "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")

    def inside(self, *command: str) -> str:
        """The output of a command on this machine."""
        return run(*self._enter(), *command)

    def path(self, path: Path) -> Path:
        """A path of this machine, as the present process finds it."""
        return Path(f"/proc/{self._init.pid}/root") / path.relative_to("/")

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        """Start a program here."""
        log_path = self._logs_dir / f"{name}-{len(self.processes)}.log"
        words = dict(environment) | {"TMPDIR": str(DISK), "PYTHONUNBUFFERED": "1"}
        if self.clock is not None:
            words |= faked_clock(self.clock)
        process = Process(name, [*self._enter(), *command], words, log_path)
        self.processes.append(process)
        return process

    def _enter(self) -> list[str]:
        spaces = ["--net", "--mount", "--uts", "--ipc"]
        return ["nsenter", "--target", str(self._init.pid), *spaces, "--"]

    def cut_off(self) -> None:
        """The switch forwards nothing from or to this machine, which hears nothing of that."""
        run("bridge", "link", "set", "dev", self.name, "state", "0")

    def reconnect(self) -> None:
        run("bridge", "link", "set", "dev", self.name, "state", "3")

    def pull_cable(self) -> None:
        """The interface loses its carrier."""
        run("ip", "link", "set", self.name, "down")

    def plug_cable(self) -> None:
        run("ip", "link", "set", self.name, "up")

    def put_far_away(self, *, latency_ms: float, loss: float) -> None:
        """From now on its frames take so long each way, and some never arrive."""
        far = f"{self.name}-far"
        run("ip", "link", "set", self.name, "nomaster")
        run("ip", "tuntap", "add", "dev", far, "mode", "tap")
        run("ip", "link", "set", far, "master", BRIDGE, "up")
        line = [sys.executable, "-m", "tests.fleet.line", self.name, far]
        self._line = subprocess.Popen([*line, str(latency_ms), str(loss)], stdout=subprocess.PIPE)
        assert self._line.stdout is not None
        assert self._line.stdout.readline() == b"ready\n"

    def bring_back(self) -> dict[str, int]:
        """End what `put_far_away` began; returns frames carried and lost."""
        import json

        assert self._line is not None
        self._line.terminate()
        told, _ = self._line.communicate(timeout=END_SEC)
        self._line = None
        run("ip", "link", "delete", f"{self.name}-far")
        run("ip", "link", "set", self.name, "master", BRIDGE)
        return json.loads(told)

    def traffic(self) -> Traffic:
        """Everything that went over its interface so far."""
        for line in Path(f"/proc/{self._init.pid}/net/dev").read_text().splitlines():
            name, _, figures = line.partition(":")
            if name.strip() == "eth0":
                numbers = figures.split()
                return Traffic(int(numbers[0]), int(numbers[8]))
        raise AssertionError(f"{self.name} has no eth0")

    def end(self) -> None:
        """End everything on this machine, and the machine."""
        if self._line is not None:
            self._line.kill()
            self._line.communicate()
        for process in reversed(self.processes):
            process.end()
        self._init.kill()
        self._init.communicate()
        with suppress(subprocess.CalledProcessError):
            run("ip", "link", "delete", self.name)


def faked_clock(shift: str) -> dict[str, str]:
    """Environment in which the time of day is another one; see `clock_library`."""
    library = clock_library()
    assert library is not None
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": shift,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }


def clock_library() -> Path | None:
    """libfaketime (Debian's package `faketime`): the kernel itself has one time of day for all."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def wait_for(is_so, *, timeout_sec: float, what: str) -> float:
    """Until something is so; returns how long that took, in seconds."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < timeout_sec, f"waited {timeout_sec} s for {what}"
        time.sleep(0.05)
    return time.monotonic() - started


def _switch_offloads_off(port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS.values():
            value = bytearray(struct.pack("II", command, 0))
            address = _buffer_address(value)
            request = struct.pack("16sP16x", port.encode(), address)
            fcntl.ioctl(any_socket.fileno(), _SIOCETHTOOL, request)


def _buffer_address(value: bytearray) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(value))


def environment_of_checkout() -> dict[str, str]:
    """What programs of the checkout need, and no setting of the service."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("JUKEBOX_", "REDIS_"))}
