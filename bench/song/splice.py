"""Are joins of spliced songs heard, and does mending help?

Songs of different artists, genres and seeds are cut and joined: plain, mended for some lengths, and
with all levels below the top generated anew, which is the best that can be had where the music
itself changes. The change of the spectrum at each join, and where a mended song goes back to the
old codes, is compared with changes anywhere else in the song.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from bench.report import Figures
from bench.song.changes import change_near, frame_samples
from bench.song.songs import add_model, add_song_options, labels_of
from jukebox_core import JukeboxModel, SplicePart
from jukebox_core.labels import Labels
from jukebox_core.units import COARSE_TO_FINE, Level

_SKIPPED_SEC = 0.3
"""How much further on the second song is cut."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The sound of a splice, float32 [samples], the sample at which it is joined, and that at which
    the codes are the old ones again, if they were sampled again."""

    sound: Tensor
    join: int
    return_: int | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which songs, and how long they are mended for."""
    add_model(parser)
    add_song_options(parser, songs=20, seconds=6.0)
    parser.add_argument("--mend", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0])


def measure(options: argparse.Namespace) -> Figures:
    """The joins of each song with the next, for each way to join them."""
    model = JukeboxModel.from_pretrained(options.model)
    drawn = [_song(model, number, options.seconds) for number in range(options.songs + 1)]
    rate_hz = model.config.time_base.sample_rate_hz
    rows = [
        {"mend_seconds": mend_sec, **_row(list(_spliced(model, drawn, mend_sec)), rate_hz)}
        for mend_sec in (*options.mend, None)
    ]
    return {"model": model.config.name, "splices": rows}


def _song(model: JukeboxModel, number: int, seconds: float) -> tuple[list[Tensor], Labels]:
    names = labels_of(model, number)
    return model.ancestral_sample(names, duration_sec=seconds, seed=number), names


def _spliced(
    model: JukeboxModel, drawn: Sequence[tuple[list[Tensor], Labels]], mend_sec: float | None
) -> Iterator[Joined]:
    """Each song joined to the next; None generates the finer levels of the joined tops."""
    time_base = model.config.time_base
    for number, ((first, names), (second, other_names)) in enumerate(pairwise(drawn)):
        join_sec = time_base.tokens_to_seconds(first[0].shape[1] // 2, Level.TOP)
        parts = [
            SplicePart(codes=first, end_sec=join_sec, labels=names),
            SplicePart(codes=second, start_sec=join_sec + _SKIPPED_SEC, labels=other_names),
        ]
        plain = model.splice(parts)
        if mend_sec is None:
            parts = [replace(part, codes=part.codes[:1]) for part in parts]
            codes = model.splice(parts, levels=COARSE_TO_FINE, seed=1000 + number)
        else:
            codes = model.splice(parts, mend_sec=mend_sec, seed=1000 + number)
        changed = torch.nonzero(codes[-1][0] != plain[-1][0])[:, 0]
        end = None
        if mend_sec and len(changed):
            end = time_base.tokens_to_samples(int(changed.max()) + 1, Level.BOTTOM)
        sound = model.decode(codes)[0, :, 0].cpu()
        yield Joined(sound, time_base.seconds_to_samples(join_sec), end)


def _row(songs: Sequence[Joined], rate_hz: int) -> dict[str, float]:
    frame = frame_samples(rate_hz)
    joins = [change_near(song.sound, song.join, frame) for song in songs]
    returns = [change_near(song.sound, song.return_, frame) for song in songs if song.return_]
    row: dict[str, float] = {"joins": len(joins)}
    for name, found in (("joins", joins), ("returns", returns)):
        if found:
            row[f"db_at_{name}"] = round(statistics.mean(each.db for each in found), 2)
            row[f"rank_of_{name}"] = round(statistics.mean(each.rank for each in found), 2)
    return row | {"db_elsewhere": round(statistics.mean(each.db_elsewhere for each in joins), 2)}
