"""How far one stretch of a level is while it is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.sampling.stretches import Stretch
from jukebox_core.sampling.windows import Window
from worker.device.engine_thread import Drawing


@dataclass(slots=True, eq=False)
class StretchRun:
    """A stretch, its codes int64 [num_samples, total_tokens], and how far it is.

    `at` is the number of windows that are in `codes`, and the drawing of the next one: one value,
    so that other threads see both as they belong together.
    """

    stretch: Stretch
    codes: NDArray[np.int64]
    at: tuple[int, Drawing | None] = (0, None)

    @property
    def num_taken(self) -> int:
        """Windows that are there."""
        return self.at[0]

    @property
    def drawing(self) -> Drawing | None:
        """The window that is being drawn."""
        return self.at[1]

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
        """Tokens of the song, per sample, in the windows that are there, or under way by now."""
        num_taken, drawing = self.at
        taken = sum(window.num_new for window in self.stretch.windows[:num_taken])
        if drawing is None:
            return taken
        drawn = drawing.num_drawn // len(drawing.sequences) - self.stretch.run_up_of(num_taken)
        return taken + max(drawn, 0)

    @property
    def end(self) -> int:
        """Tokens per sample from the beginning of the song on that are there, prompt included."""
        windows = self.stretch.windows
        return windows[self.num_taken - 1].end if self.num_taken else windows[0].first_new

    def begin(self, drawing: Drawing) -> None:
        """The next window is being drawn."""
        self.at = (self.num_taken, drawing)

    def give_up(self) -> None:
        """The next window is not being drawn any more."""
        self.at = (self.num_taken, None)

    def take(self, codes: NDArray[np.int64]) -> None:
        """The next window is drawn: int64 [num_samples, run-up and new tokens].

        Raises:
            ValueError: they are not as many as the window draws.
        """
        window = self.next_drawn
        self.codes[:, window.first_new : window.end] = codes
        self.at = (self.num_taken + 1, None)
