"""Judges: listeners that learn from songs as the codec renders them.

One that learns from clean sound alone takes the hiss of a codec for another artist: its genres fell
from 100 % to 36 % on reconstructions of the very songs (`docs/explanation/mini.md`). So a judge
hears every song twice, as it was made and as the bottom level renders it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.training.dataset.data import Report
from jukebox_core.units import Level
from recipes.mini.evaluation.codec import new_listener
from recipes.mini.evaluation.features import (
    NUM_MELS,
    MelFrontEnd,
    decode_clips,
    disturb_mel,
    encode_clips,
    hop_samples,
    log_mel,
    whole_tokens,
)
from recipes.mini.evaluation.ground_truth import KnownSong, clips_of, composed_song, lesson_of
from recipes.mini.evaluation.listening.listener import Heard, LessonSettings, Listener, teach
from recipes.mini.evaluation.process_pool import ProcessPool, loaded_model
from recipes.mini.synth import ARTISTS, GENRES

_SONGS_PER_JOB = 16

JUDGE_LESSON = LessonSettings(width=96, epochs=10, batch_size=16, crop_frames=416)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A song to compose: its seed and what is asked of it."""

    seed: int
    genre: str
    artist: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rendered:
    """Songs, and how a codec renders them.

    `originals` and `reconstructions` are float32 [N, samples]; N is 0 where only their log-mel
    frames are kept, `original_frames` and `reconstruction_frames` float32 [N, T, mels]. The songs
    themselves have lost their sound.
    """

    songs: list[KnownSong]
    originals: Tensor
    reconstructions: Tensor
    original_frames: Tensor
    reconstruction_frames: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A listener that takes sound."""

    listener: Listener
    sample_rate_hz: int

    @property
    def frames_per_second(self) -> float:
        """Of what it says about vowels."""
        return self.sample_rate_hz / hop_samples(self.sample_rate_hz)

    def hear(self, audio: Tensor) -> Heard:
        """What it makes of sounds float32 [N, samples]."""
        return self.hear_frames(log_mel(audio, self.sample_rate_hz))

    def hear_frames(self, frames: Tensor) -> Heard:
        """What it makes of log-mel frames float32 [N, T, mels]."""
        return self.listener.hear(frames)


def grid_of_pairs(number: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """Genre and artist of so many songs: all pairs in random order, and again, equally often."""
    num_pairs = len(GENRES) * len(ARTISTS)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < number:
        order = torch.randperm(num_pairs, generator=generator).tolist()
        pairs += [divmod(index, len(ARTISTS)) for index in order]
    return pairs[:number]


def render_songs(
    directory: Path,
    wanted: Sequence[Wanted],
    duration_sec: float,
    device: str,
    pool: ProcessPool,
    *,
    keep_sound: bool,
) -> Rendered:
    """Compose songs and send them through the bottom level of the model in `directory`."""
    jobs = [
        _RenderJob(
            directory=directory,
            wanted=tuple(wanted[start : start + _SONGS_PER_JOB]),
            duration_sec=duration_sec,
            device=device,
            keep_sound=keep_sound,
        )
        for start in range(0, len(wanted), _SONGS_PER_JOB)
    ]
    parts = list(pool.map(_render, jobs))
    sounds, frames = ([getattr(part, kind) for part in parts] for kind in ("sounds", "frames"))
    return Rendered(
        songs=[song for part in parts for song in part.songs],
        originals=_joined([pair[0] for pair in sounds]),
        reconstructions=_joined([pair[1] for pair in sounds]),
        original_frames=_joined([pair[0] for pair in frames]),
        reconstruction_frames=_joined([pair[1] for pair in frames]),
    )


def _joined(parts: Sequence[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _RenderJob:
    directory: Path
    wanted: tuple[Wanted, ...]
    duration_sec: float
    device: str
    keep_sound: bool


@dataclass(frozen=True, slots=True, eq=False)
class _RenderedPart:
    """Original and reconstruction as sound and as frames.

    Arrays, not tensors: those would go between processes through shared memory, which is scarce in
    containers.
    """

    songs: list[KnownSong]
    sounds: tuple[NDArray[np.float32], NDArray[np.float32]]
    frames: tuple[NDArray[np.float32], NDArray[np.float32]]


def _render(job: _RenderJob) -> _RenderedPart:
    vqvae = loaded_model(job.directory, job.device).vqvae
    rate_hz = vqvae.config.sample_rate_hz
    songs = [
        composed_song(
            wanted.seed,
            duration_sec=job.duration_sec,
            sample_rate_hz=rate_hz,
            genre=wanted.genre,
            artist=wanted.artist,
        )
        for wanted in job.wanted
    ]
    originals = clips_of(songs, whole_tokens(round(job.duration_sec * rate_hz), vqvae.config))
    codes = encode_clips(vqvae, originals, Level.BOTTOM)
    reconstructions = decode_clips(vqvae, codes, Level.BOTTOM)
    kept = slice(None) if job.keep_sound else slice(0)
    return _RenderedPart(
        songs=[replace(song, audio=np.zeros(0, np.float32)) for song in songs],
        sounds=(originals[kept].numpy(), reconstructions[kept].numpy()),
        frames=(log_mel(originals, rate_hz).numpy(), log_mel(reconstructions, rate_hz).numpy()),
    )


def teach_judge(rendered: Rendered, settings: LessonSettings, report: Report) -> Judge:
    """A judge that has learnt from both sounds of every song."""
    sample_rate_hz = rendered.songs[0].sample_rate_hz
    report(f"a judge learns from {len(rendered.songs)} songs, as they were made and as rendered")
    features = torch.cat((rendered.original_frames, rendered.reconstruction_frames))
    frames_per_second = sample_rate_hz / hop_samples(sample_rate_hz)
    lesson = lesson_of(rendered.songs * 2, features, frames_per_second)
    listener = new_listener(MelFrontEnd(features), NUM_MELS, settings)
    loss = teach(listener, lesson, settings, disturb=disturb_mel)
    report(f"its last loss was {loss:.3f}")
    return Judge(listener, sample_rate_hz)
