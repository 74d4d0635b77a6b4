"""What the engine thread is asked to do: the forms of work, each of which others can wait for."""

import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Collection

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.backends.memory import let_go
from jukebox_core.engine import Sequence
from jukebox_core.errors import JukeboxError
from jukebox_core.units import Level
from worker.device.models import LoadedModel

Slices = Callable[[LoadedModel], Iterator[Tensor]]
"""Work on a model in pieces short enough for songs to wait for one of them."""


class WorkInterrupted(JukeboxError):
    """Work that gives way was stopped because a song came."""


class Pending:
    """Work that the engine thread was asked to do. Others wait for it, or let go of it."""

    gives_way = False
    """It is stopped as soon as there is other work."""

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
        # Whoever hears of the error keeps it for a while: not the model, too.
        let_go(error)
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


class SliceTime:
    """Seconds that the slices of some work took so far; asked for by other threads.

    An object of its own, so that who counts them does not keep what the slices gave.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_beside = False
        self._clock = clock
        self._spent: tuple[float, float | None] = (0.0, None)
        """Seconds of the slices that are done, and when the present one began."""

    @property
    def spent_sec(self) -> float:
        """The present slice included."""
        seconds, since = self._spent
        return seconds if since is None else seconds + self._clock() - since

    @property
    def held_up_sec(self) -> float:
        """Of these, those that songs waited."""
        return 0.0 if self.is_beside else self.spent_sec

    def __enter__(self) -> None:
        """A slice begins."""
        self._spent = (self._spent[0], self._clock())

    def __exit__(self, *_: object) -> None:
        self._spent = (self.spent_sec, None)


class SlicedWork(Pending):
    """Something else that needs the device, done a slice at a time between the steps of songs."""

    def __init__(
        self, model: str, make: Slices, level: Level | None, *, gives_way: bool = False
    ) -> None:
        super().__init__(model)
        self.level, self.gives_way = level, gives_way
        self.time = SliceTime()
        self._make = make
        self._running: Iterator[Tensor] | None = None
        self._pieces: list[Tensor] = []
        self.is_dropped = False

    def advance(self, model: LoadedModel) -> bool:
        """Do one slice; False after the last."""
        with self.time:
            return self._advance(model)

    def _advance(self, model: LoadedModel) -> bool:
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
        self.release()
        self._end()
        return False

    def fail(self, error: Exception) -> None:
        """The engine thread gives up."""
        self.release()
        super().fail(error)

    def release(self) -> None:
        """Hold the model no longer: nothing more will be done."""
        self._running = None

    def pieces(self) -> list[Tensor]:
        """What the slices gave. Raises what stopped them."""
        self._require_success()
        return self._pieces
