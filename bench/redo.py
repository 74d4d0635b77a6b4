"""Are the borders of a redone section heard? `python -m bench.redo [MODEL]`.

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
import torch
from numpy.typing import NDArray

from bench.machine import describe_machine, tell
from bench.song import FRAME_SEC
from bench.splice import Change, change_near
from jukebox_core import JukeboxModel
from jukebox_core.labels import Labels
from jukebox_core.sampling.infill import Infill
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

Places = dict[Level, int]
"""Where each level of a song goes back to its old codes, as samples."""
Agreement = dict[Level, list[float]]
"""How many of the codes are the same where each level looks for its join, song by song."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = JukeboxModel.from_pretrained(options.model)
    rows = [_row(model, options, keeps_noise=keeps_noise) for keeps_noise in (True, False)]
    tell(describe_machine(torch.device("cpu")) | {"model": model.config.name, "sections": rows})


def _row(
    model: JukeboxModel, options: argparse.Namespace, *, keeps_noise: bool
) -> dict[str, object]:
    """The figures of all songs, with the old song's noise around the section or with another."""
    time_base = model.config.time_base
    agreement: Agreement = {level: [] for level in COARSE_TO_FINE}
    frame = 2 ** round(np.log2(FRAME_SEC * time_base.sample_rate_hz))
    changes: dict[str, list[Change]] = {"start": []}
    changes |= {level.label: [] for level in COARSE_TO_FINE}
    for seed in range(options.songs):
        names = _labels(model, seed)
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
            level.label: _rounded(found) for level, found in agreement.items() if found
        },
        "db": {name: _rounded([each.db for each in found]) for name, found in changes.items()},
        "mean_rank": {
            name: _rounded([each.rank for each in found]) for name, found in changes.items()
        },
        "db_elsewhere": _rounded([each.db_elsewhere for each in changes["start"]]),
    }


def _labels(model: JukeboxModel, number: int) -> Labels:
    vocabulary = next(iter(model.tokenizer.vocabularies.values()))
    artists, genres = list(vocabulary.artists), list(vocabulary.genres)
    artist, genre = artists[number % len(artists)], genres[number % len(genres)]
    return model.tokenizer(artist, genre, "one two three four")


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


def _rounded(values: Sequence[float]) -> float:
    """Their mean, to four digits that count."""
    return float(f"{statistics.mean(values):.4g}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.redo", description=__doc__)
    parser.add_argument("model", nargs="?", default="mini", help="directory, or mini")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=9.0, help="of each song")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
