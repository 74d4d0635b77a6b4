"""Are the borders of a redone section heard?

Sections of songs are sampled again, with the noise of the old song around them and without. The
change of the spectrum where each level goes back to its old codes, and where the section begins, is
compared with changes anywhere else in the same song.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from bench.report import Figures, significant
from bench.song.changes import Change, change_near, frame_samples
from bench.song.songs import add_model, add_song_options, labels_of
from jukebox_core import JukeboxModel
from jukebox_core.sampling.infill import Infill
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

Places = dict[Level, int]
"""Where each level of a song goes back to its old codes, as samples."""
Agreement = dict[Level, list[float]]
"""How many of the codes are the same where each level looks for its join, song by song."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which songs."""
    add_model(parser)
    add_song_options(parser, songs=20, seconds=9.0)


def measure(options: argparse.Namespace) -> Figures:
    """The borders of a section of each song, with both kinds of noise."""
    model = JukeboxModel.from_pretrained(options.model)
    rows = [_row(model, options, keeps_noise=keeps_noise) for keeps_noise in (True, False)]
    return {"model": model.config.name, "sections": rows}


def _row(
    model: JukeboxModel, options: argparse.Namespace, *, keeps_noise: bool
) -> dict[str, object]:
    """The figures of all songs, with the old song's noise around the section or with another."""
    time_base = model.config.time_base
    agreement: Agreement = {level: [] for level in COARSE_TO_FINE}
    frame = frame_samples(time_base.sample_rate_hz)
    changes: dict[str, list[Change]] = {"start": []}
    changes |= {level.label: [] for level in COARSE_TO_FINE}
    for seed in range(options.songs):
        names = labels_of(model, seed)
        codes = model.ancestral_sample(names, duration_sec=options.seconds, seed=seed)
        start_sec, end_sec = options.seconds / 3, options.seconds / 2
        with _watched(time_base, agreement) as places:
            redone = model.redo_sample(
                codes,
                names,
                start_sec=start_sec,
                end_sec=end_sec,
                seed=1000 + seed,
                old_seed=seed if keeps_noise else None,
            )
        sound = model.decode(redone)[0, :, 0].cpu()
        borders = {"start": time_base.seconds_to_samples(start_sec)}
        borders |= {level.label: place for level, place in places.items()}
        for name, place in borders.items():
            changes[name].append(change_near(sound, place, frame))
    return {
        "noise": "old" if keeps_noise else "new",
        "songs": options.songs,
        "codes_that_agree": {
            level.label: _mean(found) for level, found in agreement.items() if found
        },
        "db": {
            name: _mean([each.db for each in found]) for name, found in changes.items() if found
        },
        "mean_rank": {
            name: _mean([each.rank for each in found]) for name, found in changes.items() if found
        },
        "db_elsewhere": _mean([each.db_elsewhere for each in changes["start"]]),
    }


@contextmanager
def _watched(time_base: TimeBase, agreement: Agreement) -> Iterator[Places]:
    """While it lasts, every join of the library is written down: the levels come in order."""
    places: Places = {}
    levels = iter(COARSE_TO_FINE)
    real = Infill.join

    def join(infill: Infill, codes: NDArray[np.int64], old: NDArray[np.int64]) -> None:
        level = next(levels)
        token = int(infill.join_places(codes, old)[0])
        places[level] = time_base.tokens_to_samples(token, level)
        overlap = slice(infill.end, infill.join_end)
        agreement[level].append(float((codes[0, overlap] == old[0, overlap]).mean()))
        real(infill, codes, old)

    with mock.patch.object(Infill, "join", join):
        yield places


def _mean(values: Sequence[float]) -> float:
    return significant(statistics.mean(values))
