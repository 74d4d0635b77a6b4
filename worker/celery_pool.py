"""Celery's pool of threads, which says at once when one of them is free."""

import socket
from concurrent.futures import Future

from celery.concurrency.thread import ApplyResult, TaskPool
from kombu.asynchronous import Hub


class WakingPool(TaskPool):  # type: ignore[misc]
    """A pool of threads that wakes Celery's event loop when a task has ended.

    With `worker_disable_prefetch` the loop asks Redis for a message only while a thread is free. It
    looks whether one is when something wakes it, and the end of a task in a thread does not: on a
    worker with all threads taken the next job waited for a timer, up to five seconds.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._heard, self._told = socket.socketpair()
        for end in (self._heard, self._told):
            end.setblocking(False)

    def on_apply(self, *args: object, **kwargs: object) -> ApplyResult:
        """Run a task in a thread; the loop wakes when all is done that Celery does at its end."""
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(self._tell)
        return result

    def register_with_event_loop(self, hub: Hub) -> None:
        """The loop has started, perhaps once more after it has lost its connection."""
        hub.add_reader(self._heard.fileno(), self._hear)  # type: ignore[no-untyped-call]

    def on_stop(self) -> None:
        """End after the tasks that run."""
        super().on_stop()
        self._told.close()
        self._heard.close()

    def _tell(self, _: Future[object]) -> None:
        try:
            self._told.send(b"\0")
        except BlockingIOError:
            pass  # it has not yet heard of many others, and will look after them
        except OSError:
            pass  # the pool has stopped

    def _hear(self) -> None:
        """Nothing but wake up: before it sleeps again, the loop looks for free threads."""
        try:
            while self._heard.recv(4096):
                continue
        except BlockingIOError:
            pass
