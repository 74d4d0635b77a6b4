"""Work on models on another core, beside the songs that the engine thread draws."""

import logging
import queue
import threading

from worker.device.models import LoadedModel
from worker.device.works import SlicedWork

log = logging.getLogger(__name__)


class SecondThread(threading.Thread):
    """Sliced work of models on the CPU, beside the songs that are drawn: one after the other."""

    def __init__(self) -> None:
        super().__init__(name="beside the engine", daemon=True)
        self._inbox: queue.SimpleQueue[tuple[SlicedWork, LoadedModel] | None] = queue.SimpleQueue()
        self._is_stopping = False

    def put(self, work: SlicedWork, model: LoadedModel) -> None:
        """Do it when its turn comes, unless it is dropped by then."""
        self._inbox.put((work, model))

    def stop(self) -> None:
        """End after the present slice; what is in line stays undone."""
        self._is_stopping = True
        self._inbox.put(None)

    def run(self) -> None:
        """Until `stop`."""
        while (order := self._inbox.get()) is not None:
            work, model = order
            try:
                while not (self._is_stopping or work.is_dropped) and work.advance(model):
                    continue
                work.release()
            except Exception as error:
                log.exception("work on a model failed", extra={"model": work.model})
                work.fail(error)
            del order, work, model  # or it would keep a model that is forgotten meanwhile
