"""TCP connections: how many there may be, and how long each may take over a request.

Whoever opens connections and sends nothing would otherwise hold every file descriptor of the
process. When all places are taken, the connection that has been idle longest makes room for a new
one; a request that is being answered is never cut off for another.
"""

import asyncio
import logging
import resource
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_log = logging.getLogger(__name__)

HEADER_SEC = 10.0
"""How long a client may take to send the head of a request, from its first connection on."""
BODY_IDLE_SEC = 30.0
"""How long nothing may come while a body is awaited."""
MIN_BODY_RATE = 1024.0
"""Bytes per second that a body must come at if it takes longer than that."""
UNREAD_SEC = 300.0
"""How long a client may leave an answer unread that fills its buffers."""
MAX_HEAD_BYTES = 32 * 1024
_RESERVED_DESCRIPTORS = 256
"""For the store, files, children and listening sockets."""
_DESCRIPTORS_PER_CONNECTION = 2
"""An event stream holds one to its client and one to the store."""
_MIN_CONNECTIONS = 64
_MAX_CONNECTIONS = 16_384
_COMPLAIN_EVERY_SEC = 60.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"connection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n"
)


class TooFewDescriptors(Exception):
    """The process may open too few files to serve anybody."""


def plan_connections() -> int:
    """How many connections may be open at once; the soft limit on descriptors is raised first.

    Raises:
        TooFewDescriptors: the hard limit leaves no room for them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _RESERVED_DESCRIPTORS + _DESCRIPTORS_PER_CONNECTION * _MAX_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY:
        soft = wanted
    most = (min(soft, wanted) - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_PER_CONNECTION
    if most < _MIN_CONNECTIONS:
        needed = _RESERVED_DESCRIPTORS + _DESCRIPTORS_PER_CONNECTION * _MIN_CONNECTIONS
        raise TooFewDescriptors(
            f"this process may open {soft} files, and needs {needed} at least: raise the limit "
            "(`ulimit -n`, or `nofile` of the container)"
        )
    return most


def guarded_protocol(max_connections: int) -> type[H11Protocol]:
    """The protocol class for `uvicorn.Config(http=...)` of one server with this many places."""
    return type("Guarded", (GuardedProtocol,), {"num_places": max_connections, "idle": {}})


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a number of places and with time limits.

    `idle` holds the connections without a request in the order in which they became idle.
    """

    num_places: ClassVar[int] = _MAX_CONNECTIONS
    idle: ClassVar[dict["GuardedProtocol", None]] = {}
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _body_began_at = 0.0
    _num_body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if need be that of the connection that has been idle longest."""
        super().connection_made(transport)
        if len(self.connections) > self.num_places:
            other = next(iter(self.idle), None)
            if other is None:
                self.connections.discard(self)
                transport.write(_FULL)
                transport.close()
                return
            other.leave()
        self.idle[self] = None
        self._expect_within(HEADER_SEC)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; whoever takes too long over it is disconnected."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_idle:
            if self._deadline is None:
                self._expect_within(HEADER_SEC)
            return
        was_idle = self in self.idle
        self.idle.pop(self, None)
        self._stop_deadline()
        if self.conn.their_state is h11.SEND_BODY:
            self._watch_body(0 if was_idle else len(data))

    def on_response_complete(self) -> None:
        """Idle again, unless a pipelined request follows; uvicorn's timer ends what stays so."""
        self._stop_deadline()
        super().on_response_complete()
        if self._is_idle:
            self.idle[self] = None
        elif self.conn.their_state is h11.SEND_BODY:
            # A pipelined request has begun, and the rest of its body is still to come.
            self._watch_body(0)

    def pause_writing(self) -> None:
        """The client does not read as fast as the answer comes."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SEC, self.leave)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._stop_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.idle.pop(self, None)
        self._stop_deadline()
        self._stop_unread()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Disconnect at once and give the place back."""
        self.idle.pop(self, None)
        self.connections.discard(self)
        self._stop_deadline()
        self.transport.abort()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch_body(self, num_bytes: int) -> None:
        now = self.loop.time()
        if num_bytes == 0:
            self._body_began_at, self._num_body_bytes = now, 0
        self._num_body_bytes += num_bytes
        elapsed_sec = now - self._body_began_at
        if elapsed_sec > BODY_IDLE_SEC and self._num_body_bytes < MIN_BODY_RATE * elapsed_sec:
            self.leave()
        else:
            self._expect_within(BODY_IDLE_SEC)

    def _expect_within(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        if not self._is_idle and self.flow.read_paused:
            # It is this side that does not read: the client may have sent everything long ago.
            self._expect_within(BODY_IDLE_SEC)
            return
        self.leave()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class AcceptComplaints:
    """An exception handler of an event loop that reports full descriptor tables once a minute.

    asyncio reports every failed `accept` with a traceback, thousands in a second.
    """

    def __init__(self) -> None:
        self._next_at = 0.0
        self._num_silent = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """As `loop.set_exception_handler` wants it."""
        if "accept() out of system resource" not in context.get("message", ""):
            loop.default_exception_handler(context)
            return
        if loop.time() < self._next_at:
            self._num_silent += 1
            return
        _log.error(
            "no connection can be accepted: %s (%d more such errors since the last report)",
            context.get("exception"),
            self._num_silent,
        )
        self._next_at, self._num_silent = loop.time() + _COMPLAIN_EVERY_SEC, 0
