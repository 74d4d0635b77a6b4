"""What `speed: parallel` gains in time and costs in sound: `python -m bench.speeds MODEL`.

See `bench/README.md`. Without a model directory it makes a tiny model, which sings noise.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.machine import device_name
from jukebox_core.backends.choose import BACKENDS
from jukebox_core.engine import level_run
from jukebox_core.labels import Labels
from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.segments import Segment, join_places, join_segments
from jukebox_core.tiny import write_tiny
from jukebox_core.units import Level

FRAME_SEC = 0.032
_FLOOR = 1e-4
"""Added to magnitudes before the logarithm, so that silence is not infinitely far from silence."""


@dataclass(slots=True)
class Joins:
    """Where the streams of one level were joined, and how much they agreed there."""

    places: list[int] = field(default_factory=list)
    overlap_agreement: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a few lines, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.model or Path(folder) / "tiny"
        if options.model is None:
            write_tiny(directory)
        model = JukeboxModel.from_pretrained(directory, device=options.device)
        step = model.use_backend(options.step)
        figures = measure(model, seconds=options.seconds, num_songs=options.songs)
    figures |= {"model": model.config.name, "step": step, "threads": options.threads}
    figures["machine"] = device_name(torch.device(options.device))
    report(figures)


def measure(model: JukeboxModel, *, seconds: float, num_songs: int) -> dict[str, Any]:
    """Songs of both speeds in turn, the same seeds for both."""
    labels = _labels(model)
    times: dict[str, list[float]] = {"exact": [], "parallel": []}
    sounds: list[tuple[Tensor, Tensor, dict[Level, Joins]]] = []
    model.ancestral_sample(labels, duration_sec=seconds, seed=0)  # the first one warms up
    for seed in range(num_songs):
        exact, spent = _sing(model, labels, seconds, seed, "exact")
        times["exact"].append(spent)
        with WatchedJoins() as joins:
            parallel, spent = _sing(model, labels, seconds, seed, "parallel")
        times["parallel"].append(spent)
        sounds.append((exact, parallel, joins))
    return {
        "song_seconds": seconds,
        "songs": num_songs,
        "exact_sec": round(statistics.median(times["exact"]), 3),
        "parallel_sec": round(statistics.median(times["parallel"]), 3),
        "times_faster": round(
            statistics.median(e / p for e, p in zip(*times.values(), strict=True)), 2
        ),
        "seams": {
            level.label: _seams(model, level, sounds) for level in (Level.MIDDLE, Level.BOTTOM)
        },
    }


def _sing(
    model: JukeboxModel, labels: Labels, seconds: float, seed: int, speed: str
) -> tuple[Tensor, float]:
    """Sound [samples] and the seconds that its codes took."""
    started = time.perf_counter()
    codes = model.ancestral_sample(labels, duration_sec=seconds, seed=seed, speed=speed)
    spent = time.perf_counter() - started
    return model.decode(codes)[0, :, 0].cpu(), spent


class WatchedJoins:
    """While it lasts, every join of the library is written down."""

    def __enter__(self) -> dict[Level, Joins]:
        self.joins: dict[Level, Joins] = {}
        self._levels = iter((Level.MIDDLE, Level.BOTTOM))
        self._patch = mock.patch.object(level_run, "join_segments", self._join)
        self._patch.start()
        return self.joins

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def _join(
        self, segments: Sequence[Segment], streams: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        joined = join_segments(segments, streams)
        joins = self.joins.setdefault(next(self._levels), Joins())
        for before, segment, stream in zip(streams, segments[1:], streams[1:], strict=False):
            joins.places.append(int(join_places(segment, before, stream)[0]))
            overlap = slice(segment.start - segment.warm_up_tokens // 2, segment.start)
            agreeing = (before[0, overlap] == stream[0, overlap]).mean()
            joins.overlap_agreement.append(float(agreeing))
        return joined


def _seams(
    model: JukeboxModel, level: Level, sounds: Sequence[tuple[Tensor, Tensor, dict[Level, Joins]]]
) -> dict[str, Any]:
    """Distances at the joins of one level beside those anywhere else in the same songs."""
    rate_hz = model.config.vqvae.sample_rate_hz
    samples_per_token = model.config.vqvae.samples_per_token[level]
    frame = 2 ** round(np.log2(FRAME_SEC * rate_hz))
    at_joins, there_exact, elsewhere, ranks, agreement = [], [], [], [], []
    jump_ranks: list[float] = []
    for exact, parallel, joins in sounds:
        found = joins.get(level, Joins())
        agreement += found.overlap_agreement
        places = [place * samples_per_token for place in found.places]
        places = [p for p in places if frame <= p <= len(parallel) - frame]
        others = [
            p
            for p in range(frame, len(parallel) - frame, frame // 2)
            if all(abs(p - join) > frame for join in places)
        ]
        distances = [change_at(parallel, place, frame) for place in others]
        jumps = [jump_at(parallel, place, samples_per_token) for place in others]
        for place in places:
            distance = change_at(parallel, place, frame)
            at_joins.append(distance)
            there_exact.append(change_at(exact, place, frame))
            ranks.append(statistics.mean(other < distance for other in distances))
            jump = jump_at(parallel, place, samples_per_token)
            jump_ranks.append(statistics.mean(other < jump for other in jumps))
        elsewhere += distances
    if not at_joins:
        return {"joins": 0}
    return {
        "joins": len(at_joins),
        "codes_that_agree": round(statistics.mean(agreement), 3),
        "db_at_joins": round(statistics.mean(at_joins), 2),
        "db_elsewhere": round(statistics.mean(elsewhere), 2),
        "db_there_in_exact_song": round(statistics.mean(there_exact), 2),
        "mean_rank": round(statistics.mean(ranks), 3),
        "mean_rank_of_jump": round(statistics.mean(jump_ranks), 3),
    }


def change_at(sound: Tensor, place: int, frame_samples: int) -> float:
    """How much the spectrum changes at a sample, in dB: root mean square over frequencies of the
    log magnitudes of the frame that begins there against the frame that ends there.
    """
    frames = sound[place - frame_samples : place + frame_samples].double().view(2, -1)
    magnitudes = torch.fft.rfft(frames * torch.hann_window(frame_samples)).abs()
    before, after = 20.0 * torch.log10(magnitudes / frame_samples + _FLOOR)
    return float((after - before).square().mean().sqrt())


def jump_at(sound: Tensor, place: int, samples_per_token: int) -> float:
    """The sharpest bend of the waveform within a token of a sample: what a click would be."""
    near = sound[place - samples_per_token - 1 : place + samples_per_token + 1]
    return float(near.diff(n=2).abs().max())


def _labels(model: JukeboxModel) -> Labels:
    vocabularies = model.tokenizer.vocabularies.values()
    artist, genre = (
        next((name for name, number in names.items() if number == 1), "")
        for names in (next(iter(vocabularies)).artists, next(iter(vocabularies)).genres)
    )
    return model.tokenizer(artist, genre, "Is anybody there?")


def report(figures: dict[str, Any]) -> None:
    """Print what was measured, for people and, in the last line, for programs."""
    print(
        f"{figures['model']}, {figures['song_seconds']:g} s: exact {figures['exact_sec']} s, "
        f"parallel {figures['parallel_sec']} s, {figures['times_faster']} times faster"
    )
    for level, seams in figures["seams"].items():
        print(f"{level}: " + ", ".join(f"{name} {value}" for name, value in seams.items()))
    print(json.dumps(figures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="a directory; a tiny model if absent")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--songs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--step", choices=["auto", *BACKENDS], default="auto")
    return parser


if __name__ == "__main__":
    main()
