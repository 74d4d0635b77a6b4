"""Are joins of spliced songs heard, and does mending help? `python -m bench.splice [MODEL]`.

Songs of different artists, genres and seeds are cut in the middle of a phrase and joined, plain and
mended. At each join the change of the spectrum is compared with changes anywhere else in the song.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from bench.machine import describe_machine, tell
from bench.song import FRAME_SEC, change_at
from jukebox_core import JukeboxModel, SplicePart
from jukebox_core.labels import Labels
from jukebox_core.units import Level

_FRAME_STEPS = 4
"""Places around a join, a quarter of a frame apart, of which the largest change counts."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line for each length of mending; JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = JukeboxModel.from_pretrained(options.model)
    rate_hz = model.config.time_base.sample_rate_hz
    drawn = [_song(model, number, options.seconds) for number in range(options.songs + 1)]
    rows = [
        {"mend_seconds": mend_sec, **_row(list(_spliced(model, drawn, mend_sec)), rate_hz)}
        for mend_sec in options.mend
    ]
    tell(describe_machine(torch.device("cpu")) | {"model": model.config.name, "joins": rows})


def _spliced(
    model: JukeboxModel, drawn: Sequence[tuple[list[Tensor], Labels]], mend_sec: float
) -> Iterator[tuple[Tensor, int]]:
    """The sound float32 [samples] of each splice, and the sample at which it is joined."""
    time_base = model.config.time_base
    for number, ((first, names), (second, other_names)) in enumerate(pairwise(drawn)):
        join = first[0].shape[1] // 2
        join_sec = time_base.tokens_to_seconds(join, Level.TOP)
        parts = [
            SplicePart(codes=first, end_sec=join_sec, labels=names),
            SplicePart(codes=second, start_sec=join_sec + 0.3, labels=other_names),
        ]
        codes = model.splice(parts, mend_sec=mend_sec, seed=1000 + number)
        sound = model.decode(codes)[0, :, 0].cpu()
        yield sound, time_base.tokens_to_samples(join, Level.TOP)


def _song(model: JukeboxModel, number: int, seconds: float) -> tuple[list[Tensor], Labels]:
    vocabulary = next(iter(model.tokenizer.vocabularies.values()))
    artists, genres = list(vocabulary.artists), list(vocabulary.genres)
    names = model.tokenizer(
        artists[number % len(artists)], genres[number % len(genres)], "one two three four"
    )
    return model.ancestral_sample(names, duration_sec=seconds, seed=number), names


def _row(songs: Sequence[tuple[Tensor, int]], rate_hz: int) -> dict[str, float]:
    at_joins, elsewhere, ranks = [], [], []
    for sound, join in songs:
        frame = 2 ** round(torch.log2(torch.tensor(FRAME_SEC * rate_hz)).item())
        step = frame // _FRAME_STEPS
        at_join = max(change_at(sound, join + k * step, frame) for k in range(-1, 2))
        others = [
            max(change_at(sound, place + k * step, frame) for k in range(-1, 2))
            for place in range(2 * frame, len(sound) - 2 * frame, frame)
            if abs(place - join) > 2 * frame
        ]
        at_joins.append(at_join)
        elsewhere += others
        ranks.append(statistics.mean(other < at_join for other in others))
    return {
        "joins": len(songs),
        "db_at_joins": round(statistics.mean(at_joins), 2),
        "db_elsewhere": round(statistics.mean(elsewhere), 2),
        "mean_rank": round(statistics.mean(ranks), 2),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.splice", description=__doc__)
    parser.add_argument("model", nargs="?", default="mini")
    parser.add_argument("--songs", type=int, default=20, help="splices that are measured")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each song")
    parser.add_argument("--mend", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0])
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
