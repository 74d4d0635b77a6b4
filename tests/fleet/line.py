"""`python -m tests.fleet.line PORT TAP LATENCY_MS LOSS`: a long line, in user space.

Frames are carried between a port and a TAP device, in both directions: each arrives LATENCY_MS
later, except for a share of LOSS (0 to 1) that never does. It does what the queueing discipline
`netem` does, for kernels built without it. SIGTERM ends it; it then prints what it carried.
"""

import collections
import fcntl
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_ETH_P_ALL = 0x0003
_FRAME_BYTES = 65_536
_MAX_FRAMES = 10_000
"""More than this on their way in one direction are dropped, as by any switch."""


class Direction:
    """One way along the line."""

    def __init__(self, send: Callable[[bytes], object], *, latency_sec: float, loss: float) -> None:
        self._send, self._latency_sec, self._loss = send, latency_sec, loss
        self._under_way: collections.deque[tuple[float, bytes]] = collections.deque()
        self.num_carried = self.num_lost = 0

    def take(self, frame: bytes) -> None:
        if random.random() < self._loss or len(self._under_way) >= _MAX_FRAMES:
            self.num_lost += 1
        else:
            self._under_way.append((time.monotonic() + self._latency_sec, frame))

    def deliver(self) -> float | None:
        """Send what is due; returns the seconds until there is more, None if there is nothing."""
        while self._under_way:
            left_sec = self._under_way[0][0] - time.monotonic()
            if left_sec > 0:
                return left_sec
            try:
                self._send(self._under_way.popleft()[1])
                self.num_carried += 1
            except OSError:  # the port is down, or its queue is full
                self.num_lost += 1
        return None


def main() -> None:
    port_name, tap_name, latency_ms, loss = sys.argv[1:]
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    port.bind((port_name, 0))
    port.setblocking(False)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", tap_name.encode(), _IFF_TAP | _IFF_NO_PI))
    rates = {"latency_sec": float(latency_ms) / 1000, "loss": float(loss)}
    outward = Direction(lambda frame: os.write(tap, frame), **rates)
    inward = Direction(port.send, **rates)
    is_over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: is_over.append(number))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not is_over:
        due = [sec for sec in (outward.deliver(), inward.deliver()) if sec is not None]
        readable, _, _ = select.select([port, tap], [], [], min(due, default=0.2))
        if port in readable:
            frame, address = port.recvfrom(_FRAME_BYTES)
            if address[2] != socket.PACKET_OUTGOING:
                outward.take(frame)
        if tap in readable:
            inward.take(os.read(tap, _FRAME_BYTES))
    json.dump({"frames": outward.num_carried + inward.num_carried,
               "lost": outward.num_lost + inward.num_lost}, sys.stdout)  # fmt: skip


if __name__ == "__main__":
    main()
