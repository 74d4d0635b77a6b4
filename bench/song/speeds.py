"""How long does the library take for a song, what does `speed: parallel` gain, and is it heard?"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.machine import wait_for
from bench.priors import PRECISIONS, compute_dtype, random_prior
from bench.report import Figures, megabytes, significant
from bench.song.changes import change_at, frame_samples
from bench.song.songs import add_song_options
from jukebox_core.backends.choose import BACKENDS
from jukebox_core.checkpoints.parts import LoadedParts
from jukebox_core.engine import level_run
from jukebox_core.labels import Labels, SongLabels
from jukebox_core.model import JukeboxModel
from jukebox_core.models.catalog import locate_model
from jukebox_core.models.released import RELEASED_MODELS, released_config
from jukebox_core.sampling.segments import Segment, join_places, join_segments
from jukebox_core.song import Speed
from jukebox_core.tiny import write_tiny
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE


@dataclass(slots=True)
class Joins:
    """Where the segments of one level were joined, and how much they agreed there."""

    places: list[int] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """A song of the library: seconds of its parts, sound float32 [samples], and its joins."""

    sampling_sec: float
    decoding_sec: float
    cpu_sec: float
    sound: Tensor
    joins: Mapping[Level, Joins]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which songs, and how they are computed."""
    released = ", ".join(RELEASED_MODELS)
    parser.add_argument(
        "model", nargs="?", help=f"directory, mini, or random weights: {released}; a fresh tiny"
    )
    add_song_options(parser, songs=5, seconds=10.0)
    parser.add_argument("--speed", nargs="+", choices=list(Speed), default=list(Speed))
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("--backend", choices=["auto", *BACKENDS], default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cold", action="store_true", help="without a song that warms up")


def measure(options: argparse.Namespace) -> Figures:
    """Sing the same songs at both speeds, in turn."""
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        model = _open(options, device, Path(folder) / "tiny")
    backend = model.use_backend(options.backend)
    takes: dict[str, list[Take]] = {speed: [] for speed in options.speed}
    for seed in range(0 if options.cold else -1, options.songs):
        for speed, done in takes.items():
            take = sing(model, options.seconds, max(seed, 0), speed)
            if seed >= 0:  # the first warms up
                done.append(take)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "model": model.config.name,
        "backend": backend,
        "song_seconds": options.seconds,
        **figures_of(model, options.seconds, takes),
        "peak_mb": None if peak is None else megabytes(peak),
    }


def _open(options: argparse.Namespace, device: torch.device, tiny: Path) -> JukeboxModel:
    """A directory, or a released model with random weights, or a fresh `tiny`."""
    if options.model in RELEASED_MODELS:
        config = released_config(options.model)
        precision = options.precision or ("fp32" if device.type == "cpu" else "fp16")
        top, middle, bottom = (
            random_prior(config.prior(level), device, precision) for level in COARSE_TO_FINE
        )
        vqvae = JukeboxVQVAE(config.vqvae).to(device).eval()
        return JukeboxModel(LoadedParts(config, vqvae, (top, middle, bottom)), device=device)
    if options.model is None:
        write_tiny(tiny)
    is_int8 = options.precision == "int8"
    dtype = compute_dtype(options.precision, device) if options.precision else None
    directory = tiny if options.model is None else locate_model(Path(options.model))
    return JukeboxModel.from_pretrained(
        directory, device=device, dtype=dtype, weights="int8" if is_int8 else "full"
    )


def sing(
    model: JukeboxModel, seconds: float, seed: int, speed: str, labels: Labels | None = None
) -> Take:
    """One song through the public methods of the library."""
    device, labels = next(model.vqvae.parameters()).device, labels or some_labels(model)
    moments, began_cpu = [time.perf_counter()], time.process_time()
    with watched_joins() as joins:
        codes = model.ancestral_sample(labels, duration_sec=seconds, seed=seed, speed=speed)
    wait_for(device)
    moments.append(time.perf_counter())
    sound = model.decode(codes)[0, :, 0]
    wait_for(device)
    moments.append(time.perf_counter())
    cpu_sec = time.process_time() - began_cpu
    return Take(moments[1] - moments[0], moments[2] - moments[1], cpu_sec, sound.cpu(), joins)


def some_labels(model: JukeboxModel) -> Labels:
    """The first artist and genre, and lyrics of as many characters as a window reads."""
    songs = []
    for level in COARSE_TO_FINE:
        lyrics = model.config.prior(level).lyrics
        num_lyrics = 0 if lyrics is None else lyrics.num_tokens
        words = tuple(1 + number % 26 for number in range(num_lyrics))
        songs.append(SongLabels(artist_id=1, genre_ids=(1,), lyric_ids=words))
    genres = tuple(
        prior.labels.max_genres if prior.labels is not None else 1 for prior in model.config.priors
    )
    return Labels(songs=(tuple(songs),), resolution=({},), max_genres=genres)


def figures_of(
    model: JukeboxModel, seconds: float, takes: Mapping[str, Sequence[Take]]
) -> dict[str, Any]:
    """Medians of each speed; with both of them also their ratio, and what the joins sound like."""
    found: dict[str, Any] = {}
    for speed, done in takes.items():
        total_sec = statistics.median(take.sampling_sec + take.decoding_sec for take in done)
        found[speed] = {
            "sampling_seconds": significant(statistics.median(take.sampling_sec for take in done)),
            "decoding_seconds": significant(statistics.median(take.decoding_sec for take in done)),
            "music_seconds_per_second": significant(seconds / total_sec),
        }
    if len(takes) == len(Speed):
        pairs = list(zip(takes[Speed.EXACT], takes[Speed.PARALLEL], strict=True))
        ratios = [exact.sampling_sec / parallel.sampling_sec for exact, parallel in pairs]
        found["times_faster"] = significant(statistics.median(ratios))
        found["joins"] = {
            level.label: joins_of(model, level, pairs) for level in (Level.MIDDLE, Level.BOTTOM)
        }
    return found


@contextmanager
def watched_joins() -> Iterator[dict[Level, Joins]]:
    """While it lasts, every join of the library is written down."""
    found: dict[Level, Joins] = {}
    levels = iter((Level.MIDDLE, Level.BOTTOM))

    def join(
        segments: Sequence[Segment], streams: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        joins = found.setdefault(next(levels), Joins())
        for before, segment, stream in zip(streams, segments[1:], streams[1:], strict=False):
            joins.places.append(int(join_places(segment, before, stream)[0]))
            overlap = slice(segment.start - segment.warm_up_tokens // 2, segment.start)
            joins.agreement.append(float((before[0, overlap] == stream[0, overlap]).mean()))
        return join_segments(segments, streams)

    with mock.patch.object(level_run, "join_segments", join):
        yield found


def joins_of(
    model: JukeboxModel, level: Level, pairs: Sequence[tuple[Take, Take]]
) -> dict[str, Any]:
    """Changes of the spectrum at the joins of one level beside those anywhere else in the songs."""
    time_base = model.config.time_base
    frame = frame_samples(time_base.sample_rate_hz)
    at_joins, in_exact, elsewhere, ranks, agreement = [], [], [], [], []
    for exact, parallel in pairs:
        joins, length = parallel.joins.get(level, Joins()), len(parallel.sound) - frame
        agreement += joins.agreement
        places = [time_base.tokens_to_samples(token, level) for token in joins.places]
        places = [place for place in places if frame <= place <= length]
        others = [
            change_at(parallel.sound, place, frame)
            for place in range(frame, length, frame // 2)
            if all(abs(place - join) > frame for join in places)
        ]
        changes = [change_at(parallel.sound, place, frame) for place in places]
        at_joins += changes
        in_exact += [change_at(exact.sound, place, frame) for place in places]
        ranks += [statistics.mean(other < change for other in others) for change in changes]
        elsewhere += others
    if not at_joins:
        return {"joins": 0}
    return {
        "joins": len(at_joins),
        "codes_that_agree": significant(statistics.mean(agreement)),
        "db_at_joins": significant(statistics.mean(at_joins)),
        "db_elsewhere": significant(statistics.mean(elsewhere)),
        "db_there_in_exact_song": significant(statistics.mean(in_exact)),
        "mean_rank": significant(statistics.mean(ranks)),
    }
