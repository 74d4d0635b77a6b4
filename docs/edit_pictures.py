"""Makes the pictures of the page about edits: spectrograms of songs of `mini`, before and after.

`python docs/edit_pictures.py` (two minutes) writes `redo.png`, `splice.png` and `stereo.png` in
`docs/pictures`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cli.terminal.picture import colors, spectrogram, write_png
from jukebox_core import JukeboxModel, SplicePart

FOLDER = Path(__file__).resolve().parent / "pictures"
WIDTH, HEIGHT = 800, 160
GAP = 8
_MARK = (120, 255, 160)

Pixels = NDArray[np.uint8]


def main() -> None:
    """Make every picture anew."""
    model = JukeboxModel.from_pretrained("mini")
    write_png(FOLDER / "redo.png", redo(model))
    write_png(FOLDER / "splice.png", splice(model))
    write_png(FOLDER / "stereo.png", stereo(model))


def redo(model: JukeboxModel) -> Pixels:
    """A song, and the same with a section made again."""
    names = model.tokenizer("orlavane", "tidedub", "Is anybody there?")
    song = {"song_duration_sec": 9.0, "seed": 7}
    codes = model.ancestral_sample(names, duration_sec=9.0, **song)
    section = {"start_sec": 3.0, "end_sec": 5.0}
    redone = model.redo_sample(codes, names, **section, old_seed=7, **{**song, "seed": 8})
    return stacked(
        [
            marked(picture(model.decode(each)[0, :, 0].numpy()), 3.0 / 9.0, 5.0 / 9.0)
            for each in (codes, redone)
        ]
    )


def splice(model: JukeboxModel) -> Pixels:
    """Two songs of six seconds, and the first with three seconds of the second in its middle."""
    names = model.tokenizer("orlavane", "tidedub", "Is anybody there?")
    others = model.tokenizer("voltahn", "pixelpop", "Not at all")
    song = {"duration_sec": 6.0, "song_duration_sec": 6.0}
    one = model.ancestral_sample(names, **song, seed=7)
    two = model.ancestral_sample(others, **song, seed=8)
    parts = [
        SplicePart(codes=one, end_sec=3.0, labels=names),
        SplicePart(codes=two, start_sec=2.0, end_sec=5.0, labels=others),
        SplicePart(codes=one, start_sec=3.0, labels=names),
    ]
    joined = model.splice(parts, mend_sec=0.5, seed=9)
    cuts = [(one, [3.0]), (two, [2.0, 5.0]), (joined, [3.0, 6.0])]
    return stacked(
        [
            marked(picture(_padded(model, codes, 9.0)), *(cut / 9.0 for cut in cuts_sec))
            for codes, cuts_sec in cuts
        ]
    )


def _padded(model: JukeboxModel, codes: list[Tensor], seconds: float) -> NDArray[np.float32]:
    """The sound of a song, with silence behind it."""
    sound = model.decode(codes)[0, :, 0].numpy()
    num_samples = round(seconds * model.config.time_base.sample_rate_hz)
    return np.pad(sound, (0, max(num_samples - len(sound), 0)))[:num_samples]


def stereo(model: JukeboxModel) -> Pixels:
    """A song in mono, the mean of both channels in stereo, and the difference of these."""
    names = model.tokenizer("orlavane", "tidedub", "Is anybody there?")
    song = {"duration_sec": 9.0, "song_duration_sec": 9.0, "seed": 7}
    mono = model.decode(model.ancestral_sample(names, **song))[0, :, 0].numpy()
    both = model.decode(model.ancestral_sample(names, **song, channels=2))[0].numpy()
    side = (both[:, 0] - both[:, 1]) / 2
    return stacked([picture(sound) for sound in (mono, both.mean(axis=1), side)])


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
