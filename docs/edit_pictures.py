"""Makes the pictures of the page about edits: spectrograms of songs of `mini`, before and after.

`python docs/edit_pictures.py` (half a minute) writes `docs/pictures/redo.png`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cli.terminal.picture import colors, spectrogram, write_png
from jukebox_core import JukeboxModel

FOLDER = Path(__file__).resolve().parent / "pictures"
WIDTH, HEIGHT = 800, 160
GAP = 8
_MARK = (120, 255, 160)

Pixels = NDArray[np.uint8]


def main() -> None:
    """Make every picture anew."""
    model = JukeboxModel.from_pretrained("mini")
    names = model.tokenizer("orlavane", "tidedub", "Is anybody there?")
    song = {"song_duration_sec": 9.0, "seed": 7}
    codes = model.ancestral_sample(names, duration_sec=9.0, **song)
    section = {"start_sec": 3.0, "end_sec": 5.0}
    redone = model.redo_sample(codes, names, **section, old_seed=7, **{**song, "seed": 8})
    pictures = [
        marked(picture(model.decode(each)[0, :, 0].numpy()), 3.0 / 9.0, 5.0 / 9.0)
        for each in (codes, redone)
    ]
    write_png(FOLDER / "redo.png", stacked(pictures))


def picture(sound: NDArray[np.float32], sample_rate_hz: int = 16_000) -> Pixels:
    """The spectrogram of a sound, uint8 [HEIGHT, WIDTH, 3]."""
    return colors(spectrogram(sound, sample_rate_hz, num_columns=WIDTH, num_rows=HEIGHT))


def marked(pixels: Pixels, *shares: float) -> Pixels:
    """The picture with a line at each share of its length."""
    pixels = pixels.copy()
    for share in shares:
        column = round(share * WIDTH)
        pixels[:, column : column + 2] = _MARK
    return pixels


def stacked(pictures: list[Pixels]) -> Pixels:
    """One above the other, with a white gap between."""
    gap = np.full((GAP, WIDTH, 3), 255, dtype=np.uint8)
    parts = [part for each in pictures for part in (gap, each)][1:]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
