"""Ctrl-C and other wishes to stop, raised only where nothing can be left half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked this process to stop.

    Not an Exception, so that nothing on the way up takes it for a failure and goes on.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_status = 128 + signum


class StopSignals:
    """Turns SIGINT, SIGTERM and SIGHUP into `Interrupted`; a context manager for the main thread.

    Inside `deferred()` a signal waits: between starting a process and writing down its id, or
    while stopping, there is no good moment for an exception.
    """

    def __init__(self) -> None:
        self._deferrals = 0
        self._pending: int | None = None

    @contextmanager
    def listening(self) -> Iterator["StopSignals"]:
        """Listen for signals until the block ends."""
        before = {signum: signal.signal(signum, self._receive) for signum in _SIGNALS}
        try:
            yield self
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals wait until the block has ended."""
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
        if self._pending is not None and not self._deferrals:
            pending, self._pending = self._pending, None
            raise Interrupted(pending)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._deferrals:
            self._pending = signum
            return
        raise Interrupted(signum)
