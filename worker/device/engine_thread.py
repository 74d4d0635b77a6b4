"""The one thread that owns the device; every task of every job hands its work to it."""

import logging
import queue
import threading
from collections.abc import Callable
from collections.abc import Sequence as Collection

import torch

from jukebox_core.engine import Sequence, SequenceUpdate
from jukebox_core.units import Level
from worker.device.memory import NoRoomBeside
from worker.device.models import LoadedModel, ModelShelf
from worker.device.second_thread import SecondThread
from worker.device.waiting import WaitingLine
from worker.device.works import Drawing, Peek, Pending, SlicedWork, Slices, WorkInterrupted

log = logging.getLogger(__name__)

_LOOK_AGAIN_SEC = 0.05


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
        self._waiting = WaitingLine()
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

    def run_slices(
        self, model: str, make: Slices, *, level: Level | None = None, gives_way: bool = False
    ) -> SlicedWork:
        """Do other work on a model, see `SlicedWork`; `level` names the prior that it uses.

        Work that `gives_way` ends with `WorkInterrupted` when there is any other.
        """
        work = SlicedWork(model, make, level, gives_way=gives_way)
        self._inbox.put(lambda: self._begin_slices(work))
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
        return not self._has_work and self._inbox.empty()

    @property
    def _has_work(self) -> bool:
        return bool(self._drawings or self._slices or self._waiting)

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
                if self._waiting:
                    self._waiting.begin_due(self._models_in_use())
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
        if self._waiting:
            return _LOOK_AGAIN_SEC
        due_sec = self._shelf.next_unload_sec()
        return None if due_sec is None else max(due_sec, _LOOK_AGAIN_SEC)

    def _unload_idle(self) -> None:
        self._shelf.unload_idle(busy=self._models_in_use())

    def _models_in_use(self) -> set[str]:
        self._beside = [work for work in self._beside if not (work.has_ended or work.is_dropped)]
        works = (*self._drawings.values(), *self._slices, *self._beside)
        return {work.model for work in works}

    def _model(self, name: str) -> LoadedModel:
        """Raises what `ModelShelf.get` does."""
        return self._shelf.get(name, busy=self._models_in_use())

    def _wait(self, pending: Pending, begin: Callable[[], None], error: NoRoomBeside) -> None:
        """Begin again when a model left that is in use now; fail where none is."""
        in_the_way = self._shelf.names()
        if not in_the_way:
            pending.fail(error)
            return
        log.info("work waits for other models to end theirs: %s", error)
        self._waiting.add(pending, begin, in_the_way)

    def _interrupt(self) -> None:
        """Stop what gives way."""
        for work in (*self._slices, *self._waiting.of_low_rank()):
            if work.gives_way:
                self._drop(work)
                work.fail(WorkInterrupted("a song came"))

    def _begin_slices(self, work: SlicedWork) -> None:
        if not work.gives_way:
            self._interrupt()
        elif self._has_work:
            work.fail(WorkInterrupted("a song is there"))
            return
        self._slices.append(work)

    def _begin(self, drawing: Drawing) -> None:
        self._interrupt()
        if self._waiting.holds_back(drawing.model):
            self._waiting.add(drawing, lambda: self._begin(drawing))
            return
        try:
            engine = self._model(drawing.model).engine
            for sequence in drawing.sequences:
                engine.submit(sequence)
                self._drawings[sequence.id] = drawing
        except NoRoomBeside as error:
            self._wait(drawing, lambda: self._begin(drawing), error)
        except Exception as error:
            log.exception("a window could not be submitted", extra={"model": drawing.model})
            self._give_up(drawing, error)

    def _unload(self, name: str) -> None:
        model = self._shelf.peek(name)
        if model is None or name in self._models_in_use() or model.engine.has_work:
            return
        del model  # or it would still be there when the memory is given back
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
        self._interrupt()
        try:
            model = self._model(work.model)
            may_be_beside = (
                model.device.type == "cpu"
                and not model.engine.shares_tokens
                and (work.level is None or model.keeps_all_priors)
            )
            if may_be_beside and work.level is not None:
                # Loaded here: two threads might do so twice.
                model.priors[work.level]
        except NoRoomBeside as error:
            self._wait(work, lambda: self._begin_beside(work), error)
            return
        except Exception as error:
            log.exception("a model cannot be had", extra={"model": work.model})
            work.fail(error)
            return
        if may_be_beside:
            work.time.is_beside = True
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
            self._do_slice(work)
        except NoRoomBeside as error:
            self._slices.remove(work)
            self._wait(work, lambda: self._slices.append(work), error)
        except Exception as error:
            _require_device(error)
            log.exception("work on a model failed", extra={"model": work.model})
            self._slices.remove(work)
            work.fail(error)

    def _do_slice(self, work: SlicedWork) -> None:
        model = self._model(work.model)
        if work.level is not None and not model.engine.is_free_for(work.level):
            return
        use_threads(model.product_threads)
        if not work.advance(model):
            self._slices.remove(work)

    def _give_up(self, drawing: Drawing, error: Exception) -> None:
        self._drop(drawing)
        drawing.fail(error)

    def _drop(self, pending: Pending) -> None:
        self._waiting.drop(pending)
        if isinstance(pending, Drawing):
            model = self._shelf.peek(pending.model)
            for sequence in pending.sequences:
                if self._drawings.pop(sequence.id, None) is not None and model is not None:
                    model.engine.cancel(sequence.id)
        elif isinstance(pending, SlicedWork):
            pending.is_dropped = True
            if pending in self._slices:
                self._slices.remove(pending)
                pending.release()

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
