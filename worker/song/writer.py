"""Writing what a song has drawn while the next of it is being drawn."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Prepared = TypeVar("Prepared")

MAX_WAITING = 4
"""Nothing more is begun while so many writes wait. A worker that dies loses about as many windows,
or as many as ended at once."""


class OrderedWriter:
    """Does writes one after the other on a thread of its own, each only if all before went well.

    A window of a lower level is thus never on record without those that it was drawn from. Several
    threads may put.

    wake  set whenever a write is over
    """

    def __init__(self, name: str, wake: threading.Event) -> None:
        self._wake = wake
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"keeping {name}")
        self._beside = ThreadPoolExecutor(MAX_WAITING, thread_name_prefix=f"preparing {name}")
        self._waiting: deque[Future[None]] = deque()
        self._last: Future[None] | None = None
        self._putting = threading.Lock()

    @property
    def is_full(self) -> bool:
        """More should not be drawn before something is kept."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return len(self._waiting) >= MAX_WAITING

    def put(self, write: Callable[[], None]) -> None:
        """Do it after what was put before."""
        with self._putting:
            before = self._last

            def write_in_turn() -> None:
                if before is not None:
                    before.result()
                write()

            self._last = self._threads.submit(write_in_turn)
            self._last.add_done_callback(lambda _: self._wake.set())
            self._waiting.append(self._last)

    def put_in_two(
        self, prepare: Callable[[], Prepared], write: Callable[[Prepared], None]
    ) -> None:
        """The first part is done at once, beside that of others; the second in turn, with it.

        So storage that is far away holds nothing up.
        """
        prepared = self._beside.submit(prepare)
        self.put(lambda: write(prepared.result()))

    def check(self) -> None:
        """Raise what stopped a write."""
        if self._last is not None and self._last.done():
            self._last.result()

    def flush(self) -> None:
        """Wait for everything that was put so far; raises what stopped it."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Do what is in line and end; whether it went well, nobody asks any more."""
        self._threads.shutdown(wait=True)
        self._beside.shutdown(wait=True)
