"""Work on a thread of its own while its maker does something else."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """A call that runs beside whoever made it; where no thread can be had, it is done at once.

    Whoever made it must wait for it (`result`, `wait`) before touching what it touches.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._outcome: Future[T] = Future()
        self.num_threads = 1
        try:
            threading.Thread(target=self._run).start()
        except RuntimeError:  # as many as the process, or its container, may have
            self.num_threads = 0
            self._run()

    def wait(self) -> None:
        """Until it has ended, well or not."""
        self._outcome.exception()

    def result(self) -> T:
        """What it returned, when it has; raises what it raised."""
        return self._outcome.result()

    def _run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)
