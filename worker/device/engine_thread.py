"""The one thread that owns the device; every task of every job hands its work to it."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.engine import Sequence, SequenceUpdate
from jukebox_core.units import Level
from worker.device.models import LoadedModel, ModelShelf

log = logging.getLogger(__name__)

_LOOK_AGAIN_SEC = 0.05
Slices = Callable[[LoadedModel], Iterator[Tensor]]
"""Work on a model in pieces short enough for songs to wait for one of them."""


class Pending:
    """Work that the engine thread was asked to do. Others wait for it, or let go of it."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._ended = threading.Event()
        self._waiting: list[threading.Event] = []
        self._error: Exception | None = None

    @property
    def has_ended(self) -> bool:
        """Well or not."""
        return self._ended.is_set()

    @property
    def error(self) -> Exception | None:
        """What stopped it."""
        return self._error

    def wait(self, timeout_sec: float) -> bool:
        """Whether the work ended within `timeout_sec`."""
        return self._ended.wait(timeout_sec)

    def wake(self, event: threading.Event) -> None:
        """Set `event` when the work ends, for whoever waits for several things at once."""
        self._waiting.append(event)
        if self.has_ended:
            event.set()

    def fail(self, error: Exception) -> None:
        """The engine thread gives up."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._ended.set()
        for event in self._waiting:
            event.set()

    def _require_success(self) -> None:
        if self._error is not None:
            raise self._error


class Drawing(Pending):
    """The same window of several samples of a song."""

    def __init__(self, model: str, sequences: Collection[Sequence]) -> None:
        super().__init__(model)
        self.sequences = tuple(sequences)
        self._codes: dict[str, NDArray[np.int64]] = {}

    @property
    def num_sampled(self) -> int:
        """Tokens drawn so far, of all samples together."""
        return sum(sequence.num_sampled for sequence in self.sequences)

    def settle(self, sequence_id: str, codes: NDArray[np.int64]) -> None:
        """One of the sequences is drawn."""
        self._codes[sequence_id] = codes
        if len(self._codes) == len(self.sequences):
            self._end()

    def codes(self) -> NDArray[np.int64]:
        """New codes, int64 [num_samples, num_new]. Raises what stopped the drawing."""
        self._require_success()
        return np.stack([self._codes[sequence.id] for sequence in self.sequences])


class Peek(Pending):
    """What a drawing has so far: `codes` int64 [num_samples, n], None if it is over by now."""

    def __init__(self, drawing: Drawing) -> None:
        super().__init__(drawing.model)
        self.drawing = drawing
        self.codes: NDArray[np.int64] | None = None

    def settle(self, rows: Collection[NDArray[np.int64]]) -> None:
        """Codes int64 [n] of every sequence, as many of each as all have."""
        num_tokens = min((len(row) for row in rows), default=0)
        self.codes = np.stack([row[:num_tokens] for row in rows]) if rows else None
        self._end()


class SlicedWork(Pending):
    """Something else that needs the device, done a slice at a time between the steps of songs."""

    def __init__(self, model: str, make: Slices, level: Level | None) -> None:
        super().__init__(model)
        self.level = level
        self._make = make
        self._running: Iterator[Tensor] | None = None
        self._pieces: list[Tensor] = []
        self.is_dropped = False

    def advance(self, model: LoadedModel) -> bool:
        """Do one slice; False after the last."""
        if self.level is not None:
            # On a small device songs may have taken its place since the slice before.
            model.engine.make_way_for(self.level)
            model.priors[self.level]
        if self._running is None:
            self._running = self._make(model)
        piece = next(self._running, None)
        if piece is not None:
            self._pieces.append(piece)
            return True
        self._end()
        return False

    def pieces(self) -> list[Tensor]:
        """What the slices gave. Raises what stopped them."""
        self._require_success()
        return self._pieces


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
            except Exception as error:
                log.exception("work on a model failed", extra={"model": work.model})
                work.fail(error)
            del order, work, model  # or it would keep a model that is forgotten meanwhile


class EngineThread(threading.Thread):
    """Steps the engines of all loaded models, and does sliced work between the steps.

    The other threads only put commands into its inbox and wait on what they get back.

    After a fault of the device itself nothing runs on it any more in this process, and whoever
    waits would wait for ever: then `on_broken` is called, which should end the process. The leases
    run out and count as a crash, so that a song that breaks devices is not tried without end.
    """

    def __init__(self, shelf: ModelShelf, *, on_broken: Callable[[], None]) -> None:
        super().__init__(name="engine", daemon=True)
        self._shelf = shelf
        self._on_broken = on_broken
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._drawings: dict[str, Drawing] = {}
        self._slices: list[SlicedWork] = []
        self._beside: list[SlicedWork] = []
        self._second = SecondThread()
        self._stopped = False

    def draw(self, model: str, sequences: Collection[Sequence]) -> Drawing:
        """Draw these sequences with the model called `model`."""
        drawing = Drawing(model, sequences)
        self._inbox.put(lambda: self._begin(drawing))
        return drawing

    def peek(self, drawing: Drawing) -> Peek:
        """Look at what a drawing has so far, between two steps."""
        peek = Peek(drawing)
        self._inbox.put(lambda: self._peek(peek))
        return peek

    def run_slices(self, model: str, make: Slices, *, level: Level | None = None) -> SlicedWork:
        """Do other work on a model, see `SlicedWork`; `level` names the prior that it uses."""
        work = SlicedWork(model, make, level)
        self._inbox.put(lambda: self._slices.append(work))
        return work

    def run_beside(self, model: str, make: Slices, *, level: Level | None = None) -> SlicedWork:
        """As `run_slices`; for a small model on the CPU on another core, while songs are drawn.

        A prior belongs to its engine: it may be read here, whole sequences at once, and not used in
        any way that writes.
        """
        work = SlicedWork(model, make, level)
        self._inbox.put(lambda: self._begin_beside(work))
        return work

    def keeps_all_priors(self, model: str) -> bool:
        """Whether windows of several levels may run at once; not before the model is loaded."""
        loaded = self._shelf.peek(model)
        return loaded is not None and loaded.keeps_all_priors

    @property
    def is_idle(self) -> bool:
        """Whether nothing is generated, and no other work is done or in line."""
        return not (self._drawings or self._slices) and self._inbox.empty()

    def unload(self, model: str) -> None:
        """Give back the memory of a model, unless it is used meanwhile."""
        self._inbox.put(lambda: self._unload(model))

    def cancel(self, pending: Pending) -> None:
        """Let go of work, between two steps. Harmless when it has ended."""
        self._inbox.put(lambda: self._drop(pending))

    def stop(self) -> None:
        """End the thread after the present step; what is unfinished stays unfinished."""
        self._inbox.put(self._end)

    def run(self) -> None:
        """Until `stop`, or until the device is broken.

        A turn is all commands, one step of everything that has work, and one slice. Between turns
        models leave that nothing was generated with for long.
        """
        self._second.start()
        try:
            while not self._stopped:
                self._take_commands()
                for name in self._shelf.names():
                    self._step(name)
                self._advance_slices()
                self._unload_idle()
        except Exception:
            log.critical("the engine thread cannot go on", exc_info=True)
            self._on_broken()
        finally:
            self._second.stop()
            # The process may end as soon as this thread has: no other may compute then.
            self._second.join()

    def _advance_slices(self) -> None:
        """One slice: works take turns, or many of them would keep the songs waiting together."""
        if self._slices:
            work = self._slices.pop(0)
            self._slices.append(work)
            self._advance(work)

    def _take_commands(self) -> None:
        while not self._stopped:
            is_busy = bool(self._drawings or self._slices)
            if is_busy and self._inbox.empty():
                return
            try:
                command = self._inbox.get(timeout=None if is_busy else self._patience_sec())
            except queue.Empty:
                return
            command()

    def _patience_sec(self) -> float | None:
        """How long to wait for a command: models in use beside are looked at again, later."""
        due_sec = self._shelf.next_unload_sec()
        return None if due_sec is None else max(due_sec, _LOOK_AGAIN_SEC)

    def _unload_idle(self) -> None:
        self._beside = [work for work in self._beside if not (work.has_ended or work.is_dropped)]
        works = (*self._slices, *self._beside)
        self._shelf.unload_idle(busy={work.model for work in works})

    def _begin(self, drawing: Drawing) -> None:
        try:
            engine = self._shelf.get(drawing.model).engine
            for sequence in drawing.sequences:
                engine.submit(sequence)
                self._drawings[sequence.id] = drawing
        except Exception as error:
            log.exception("a window could not be submitted", extra={"model": drawing.model})
            self._give_up(drawing, error)

    def _unload(self, name: str) -> None:
        model = self._shelf.peek(name)
        is_used = any(each.model == name for each in (*self._drawings.values(), *self._slices))
        if model is not None and not is_used and not model.engine.has_work:
            self._shelf.forget(name)

    def _peek(self, peek: Peek) -> None:
        sequences = peek.drawing.sequences
        model = self._shelf.peek(peek.model)
        is_running = all(self._drawings.get(each.id) is peek.drawing for each in sequences)
        try:
            engine = model.engine if model is not None and is_running else None
            peek.settle([engine.codes_so_far(each.id) for each in sequences] if engine else [])
        except Exception as error:
            _require_device(error)
            log.exception("a window cannot be looked into", extra={"model": peek.model})
            peek.fail(error)

    def _begin_beside(self, work: SlicedWork) -> None:
        try:
            model = self._shelf.get(work.model)
            may_be_beside = (
                model.device.type == "cpu"
                and not model.engine.shares_tokens
                and (work.level is None or model.keeps_all_priors)
            )
            if may_be_beside and work.level is not None:
                # Loaded here: two threads might do so twice.
                model.priors[work.level]
        except Exception as error:
            log.exception("a model cannot be had", extra={"model": work.model})
            work.fail(error)
            return
        if may_be_beside:
            self._beside.append(work)
            self._second.put(work, model)
        else:
            self._slices.append(work)

    def _step(self, name: str) -> None:
        model = self._shelf.peek(name)
        if model is None or not model.engine.has_work:
            return
        try:
            use_threads(model.product_threads)
            updates = model.engine.step()
        except Exception as error:
            _require_device(error)
            # The engine looks after its songs' faults; this is a bug's.
            log.exception("an engine broke", extra={"model": name})
            self._shelf.forget(name)
            for drawing in {d for d in self._drawings.values() if d.model == name}:
                self._give_up(drawing, error)
            return
        for update in updates:
            self._settle(update)

    def _settle(self, update: SequenceUpdate) -> None:
        drawing = self._drawings.pop(update.id, None)
        if drawing is None:
            return
        if update.codes is not None:
            drawing.settle(update.id, update.codes)
        elif update.error is not None:
            _require_device(update.error)
            self._give_up(drawing, update.error)

    def _advance(self, work: SlicedWork) -> None:
        try:
            model = self._shelf.get(work.model)
            if work.level is not None and not model.engine.is_free_for(work.level):
                return
            use_threads(model.product_threads)
            if not work.advance(model):
                self._slices.remove(work)
        except Exception as error:
            _require_device(error)
            log.exception("work on a model failed", extra={"model": work.model})
            self._slices.remove(work)
            work.fail(error)

    def _give_up(self, drawing: Drawing, error: Exception) -> None:
        self._drop(drawing)
        drawing.fail(error)

    def _drop(self, pending: Pending) -> None:
        if isinstance(pending, Drawing):
            model = self._shelf.peek(pending.model)
            for sequence in pending.sequences:
                if self._drawings.pop(sequence.id, None) is not None and model is not None:
                    model.engine.cancel(sequence.id)
        elif isinstance(pending, SlicedWork):
            pending.is_dropped = True
            if pending in self._slices:
                self._slices.remove(pending)

    def _end(self) -> None:
        self._stopped = True


def use_threads(num_threads: int) -> None:
    """Let torch compute a matrix product with so many threads from now on."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def _require_device(error: Exception) -> None:
    """Raise the error again if it is the device's own; lack of memory is not."""
    if isinstance(error, torch.AcceleratorError):
        raise error
