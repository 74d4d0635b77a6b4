"""Songs that are asked of a model and drawn by it, many at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.labels import Labels
from jukebox_core.model import JukeboxModel
from jukebox_core.sampling.options import SongOptions
from jukebox_core.song import SamplingParams
from jukebox_core.training.dataset.data import Report
from jukebox_core.units import COARSE_TO_FINE, Level
from recipes.mini.evaluation.process_pool import ProcessPool, loaded_model
from recipes.mini.synth import ARTISTS, GENRES

_SONGS_PER_JOB = 16
_SONGS_PER_DEVICE_JOB = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One song that is asked for; `sample` numbers its chance: the same number, the same chance.

    `genre` and `artist` are classes of the synthetic music.
    """

    genre: int
    artist: int
    lyrics: str
    sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawSettings:
    """How songs are drawn; a temperature of None is the library's own."""

    duration_sec: float
    seed: int
    temperature: float | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Drawn:
    """Songs in the order in which they were asked for.

    `top_codes` is int64 [N, T], `audio` float32 [N, samples] within [-1, 1] as in a file.
    """

    asked: tuple[Asked, ...]
    top_codes: Tensor
    audio: Tensor


@dataclass(frozen=True, slots=True)
class _DrawJob:
    directory: Path
    asked: tuple[Asked, ...]
    top_codes: NDArray[np.int64] | None
    settings: DrawSettings


def draw_songs(
    directory: Path,
    asked: Sequence[Asked],
    settings: DrawSettings,
    pool: ProcessPool,
    report: Report,
    top_codes: Tensor | None = None,
) -> Drawn:
    """Draw all songs with the model in `directory`.

    A song's sound depends on what is asked, its number and the settings, not on its company (up to
    rounding).

    Args:
        directory: of the model.
        asked: what to draw.
        settings: how.
        pool: who draws.
        report: told how many are done.
        top_codes: int64 [N, T], to draw only what lies below them; they set the length then.
    """
    jobs, first = [], 0
    for chunk in _chunks(asked, _songs_per_job(settings)):
        rows = slice(first, first + len(chunk))
        given = None if top_codes is None else top_codes[rows].numpy()
        jobs.append(_DrawJob(directory, chunk, given, settings))
        first = rows.stop
    parts = []
    for part in pool.map(_draw, jobs):
        parts.append(part)
        report(f"drew {sum(len(codes) for codes, _ in parts)} of {len(asked)} songs")
    return Drawn(
        asked=tuple(asked),
        top_codes=torch.from_numpy(np.concatenate([codes for codes, _ in parts])),
        audio=torch.from_numpy(np.concatenate([audio for _, audio in parts])),
    )


def _songs_per_job(settings: DrawSettings) -> int:
    """An accelerator takes as long for many songs as for a few."""
    return _SONGS_PER_JOB if settings.device == "cpu" else _SONGS_PER_DEVICE_JOB


def _chunks(asked: Sequence[Asked], size: int) -> list[tuple[Asked, ...]]:
    """Runs of songs whose numbers follow each other, as one call draws them."""
    runs = groupby(enumerate(asked), key=lambda item: item[1].sample - item[0])
    chunks = []
    for _, run in runs:
        songs = [song for _, song in run]
        chunks += [tuple(songs[start : start + size]) for start in range(0, len(songs), size)]
    return chunks


def _draw(job: _DrawJob) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Top codes int64 [n, T] and sound float32 [n, samples]; see `_RenderedPart` for why arrays."""
    model = loaded_model(job.directory, job.settings.device)
    labels = labels_of(model, job.asked)
    options = SongOptions(
        sampling=_sampling(job.settings.temperature),
        seed=job.settings.seed,
        first_sample=job.asked[0].sample,
        max_batch_size=len(job.asked),
    )
    if job.top_codes is None:
        codes = model.ancestral_sample(labels, duration_sec=job.settings.duration_sec, **options)
    else:
        codes = model.upsample([torch.from_numpy(job.top_codes)], labels, **options)
    audio = model.decode(codes)[..., 0].clamp(-1.0, 1.0)
    return codes[0].cpu().numpy(), audio.cpu().numpy()


def labels_of(model: JukeboxModel, asked: Sequence[Asked]) -> Labels:
    """What is asked, in the ids of the model."""
    return model.tokenizer(
        [ARTISTS[song.artist] for song in asked],
        [GENRES[song.genre] for song in asked],
        [song.lyrics for song in asked],
    )


def unknown_names(model: JukeboxModel) -> list[str]:
    """Genres and artists of the synthetic music that the model has no label for."""
    unknown = []
    for kind, names in (("genre", GENRES), ("artist", ARTISTS)):
        for name in names:
            words = ("", name) if kind == "genre" else (name, "")
            top = model.tokenizer.resolve(*words)[Level.TOP.label]
            found = [top["artist"]] if kind == "artist" else top["genres"]
            if not all(entry["known"] for entry in found):
                unknown.append(name)
    return unknown


def _sampling(temperature: float | None) -> dict[Level, SamplingParams] | None:
    if temperature is None:
        return None
    return dict.fromkeys(COARSE_TO_FINE, SamplingParams(temperature=temperature))
