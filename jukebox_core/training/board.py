"""The same figures for TensorBoard, where it is installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jukebox_core.training.progress import TrainingProgress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BOARD_FOLDER = "board"


class Board:
    """Writes to `board/` in the run's directory; does nothing without a directory or the package.

    A resumed run takes away what was written after `first_step`.
    """

    def __init__(self, directory: Path | None, first_step: int) -> None:
        self._writer = None if directory is None else _writer(directory, first_step)

    def add(self, progress: TrainingProgress) -> None:
        """One point for every figure of a line of the log."""
        if self._writer is None:
            return
        for name, value in progress.to_dict().items():
            if name not in ("step", "steps"):
                self._writer.add_scalar(name, value, progress.step)
        self._writer.flush()


def _writer(directory: Path, first_step: int) -> "SummaryWriter | None":
    if find_spec("tensorboard") is None:
        return None
    # Imported here: it takes a second to load and is not needed to train.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(directory / BOARD_FOLDER), purge_step=first_step)
