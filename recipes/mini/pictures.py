"""An evaluation to look at and to listen to: WAV files and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from cli.terminal.picture import Pixels, colors, write_png, write_spectrogram

_CELL_PIXELS = 40
_GAP_PIXELS = 2
_TRUTH = np.array([60, 220, 255], dtype=np.uint8)
_HEIGHT_PIXELS, _MOST_PIXELS = 4, 1600


def write_confusion(path: Path, counts: Sequence[Sequence[int]]) -> None:
    """Draw a table of what was asked (rows) and what was heard (columns), each row by itself.

    Classes are in the order of the JSON; a perfect table is a bright diagonal from the upper left.
    """
    table = np.array(counts, dtype=np.float32)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    cells = colors(shares).repeat(_CELL_PIXELS, axis=0).repeat(_CELL_PIXELS, axis=1)
    for edge in range(0, cells.shape[0], _CELL_PIXELS):
        cells[edge : edge + _GAP_PIXELS] = 0
        cells[:, edge : edge + _GAP_PIXELS] = 0
    write_png(path, cells)


def write_alignment(
    path: Path, attention: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]
) -> None:
    """Draw attention over time (to the right) and characters (downwards), with the truth in cyan.

    attention  float32 [T, characters]
    truth      int64 [T], the character that is sung, -1 where none is
    """
    loudest = np.maximum(attention.max(axis=1, keepdims=True), 1e-6)
    pixels: Pixels = colors((attention / loudest).T.astype(np.float32))
    pixels = pixels.repeat(_HEIGHT_PIXELS, axis=0)
    for token in np.flatnonzero(truth >= 0):
        # The lowest line of the character: the attention above it stays in sight.
        pixels[(truth[token] + 1) * _HEIGHT_PIXELS - 1, token] = _TRUTH
    write_png(path, pixels[:, :_MOST_PIXELS])


def write_sounds(folder: Path, sounds: dict[str, npt.NDArray[Any]], sample_rate_hz: int) -> None:
    """Write each sound as WAV, and its spectrogram beside it."""
    for name, audio in sounds.items():
        soundfile.write(folder / f"{name}.wav", audio, sample_rate_hz, subtype="PCM_16")
        write_spectrogram(folder / f"{name}.png", audio, sample_rate_hz)
