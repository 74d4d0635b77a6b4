"""How far one stretch of a level is while it is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.sampling.stretches import Stretch
from jukebox_core.sampling.windows import Window
from worker.engine_thread import Drawing


@dataclass(slots=True, eq=False)
class StretchRun:
    """A stretch, its codes int64 [num_samples, total_tokens], and the window that is being drawn.

    `num_taken` windows are in `codes`.
    """

    stretch: Stretch
    codes: NDArray[np.int64]
    num_taken: int = 0
    drawing: Drawing | None = None

    @property
    def is_done(self) -> bool:
        """All windows are there."""
        return self.num_taken == len(self.stretch.windows)

    @property
    def next_window(self) -> Window:
        """The window that comes now, as the song keeps it."""
        return self.stretch.windows[self.num_taken]

    @property
    def next_drawn(self) -> Window:
        """The same as it is drawn: with the run-up."""
        return self.stretch.drawn(self.num_taken)

    @property
    def run_up(self) -> int:
        """Tokens that it draws and the song does not keep."""
        return self.stretch.run_up_of(self.num_taken)

    @property
    def num_tokens(self) -> int:
        """Tokens of the song, per sample, in the windows that are there."""
        return sum(window.num_new for window in self.stretch.windows[: self.num_taken])

    @property
    def num_final(self) -> int:
        """Tokens per sample from the beginning of the song on that are there, prompt included."""
        return self.stretch.windows[self.num_taken - 1].end if self.num_taken else 0

    @property
    def num_under_way(self) -> int:
        """Tokens of the song, per sample, that the window being drawn has by now."""
        drawing = self.drawing
        if drawing is None or self.is_done:
            return 0
        return max(drawing.num_drawn // len(drawing.sequences) - self.run_up, 0)

    def take(self, codes: NDArray[np.int64]) -> None:
        """The next window is drawn: int64 [num_samples, run-up and new tokens].

        Raises:
            ValueError: they are not as many as the window draws.
        """
        window = self.next_drawn
        self.codes[:, window.first_new : window.end] = codes
        self.num_taken += 1
