"""Songs of which everything is known: what is asked of them, and when each vowel is sung."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.training.dataset.data import TrainingSong
from jukebox_core.training.dataset.manifest import Melody
from jukebox_core.training.dataset.syllables import VOWELS, syllables
from recipes.mini.evaluation.listening.listener import UNJUDGED, Lesson, frame_vowels
from recipes.mini.synth import ARTISTS, GENRES, compose

UNKNOWN = -1
"""Class of a name that the synthetic music does not have."""


@dataclass(frozen=True, slots=True)
class VowelSpan:
    """One sung vowel: when, which of `VOWELS`, and the first character of the lyrics that says it.

    Times are nan where they are not known.
    """

    start_sec: float
    end_sec: float
    vowel: int
    character: int

    @property
    def middle_sec(self) -> float:
        """Where the vowel is judged."""
        return (self.start_sec + self.end_sec) / 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KnownSong:
    """A song with the truth about it.

    `audio` is float32 [samples]; the character times are float64 [characters], nan where nothing
    is sung, and None where nothing is known.
    """

    audio: NDArray[np.float32]
    sample_rate_hz: int
    genre: str
    artist: str
    lyrics: str
    character_start_sec: NDArray[np.float64] | None = None
    character_end_sec: NDArray[np.float64] | None = None
    melody: Melody | None = None

    @property
    def duration_sec(self) -> float:
        """Length of the sound."""
        return len(self.audio) / self.sample_rate_hz

    def vowel_spans(self) -> tuple[VowelSpan, ...]:
        """The vowels that are sung, in their order; empty where the times are not known."""
        starts, ends = self.character_start_sec, self.character_end_sec
        if starts is None or ends is None:
            return ()
        spans = []
        for syllable in syllables(self.lyrics):
            letters = [index for index in syllable.nucleus if np.isfinite(starts[index])]
            if letters:
                spans.append(
                    VowelSpan(
                        start_sec=float(starts[letters[0]]),
                        end_sec=float(ends[letters[-1]]),
                        vowel=VOWELS.index(syllable.vowel),
                        character=letters[0],
                    )
                )
        return tuple(spans)


def known_song(song: TrainingSong) -> KnownSong:
    """A song of a data folder; its times are known if its list has them."""
    times = song.character_times
    return KnownSong(
        audio=song.audio(),
        sample_rate_hz=song.sample_rate_hz,
        genre=song.genre,
        artist=song.artist,
        lyrics=song.lyrics,
        character_start_sec=None if times is None else times.start_sec,
        character_end_sec=None if times is None else times.end_sec,
        melody=song.melody,
    )


def composed_song(
    seed: int,
    *,
    duration_sec: float | None,
    sample_rate_hz: int,
    genre: str | None = None,
    artist: str | None = None,
    lyrics: str | None = None,
) -> KnownSong:
    """A new song of the generator; what is not given is its own choice."""
    song = compose(
        seed,
        genre=genre,
        artist=artist,
        lyrics=lyrics,
        duration_sec=duration_sec,
        sample_rate_hz=sample_rate_hz,
    )
    return KnownSong(
        audio=song.audio,
        sample_rate_hz=song.sample_rate_hz,
        genre=song.genre,
        artist=song.artist,
        lyrics=song.lyrics,
        character_start_sec=np.asarray(song.character_start_sec, dtype=np.float64),
        character_end_sec=np.asarray(song.character_end_sec, dtype=np.float64),
        melody=Melody(
            *(
                np.array([getattr(note, name) for note in song.notes], dtype=np.float64)
                for name in ("start_sec", "end_sec", "midi")
            )
        ),
    )


def genre_class(name: str) -> int:
    """Number of a genre; `UNKNOWN` for any other name."""
    return GENRES.index(name) if name in GENRES else UNKNOWN


def artist_class(name: str) -> int:
    """Number of an artist; `UNKNOWN` for any other name."""
    return ARTISTS.index(name) if name in ARTISTS else UNKNOWN


def lyric_vowels(lyrics: str) -> tuple[int, ...]:
    """The vowels that a text asks for, in their order."""
    return tuple(VOWELS.index(syllable.vowel) for syllable in syllables(lyrics))


def clips_of(songs: Sequence[KnownSong], num_samples: int) -> Tensor:
    """The first `num_samples` of each song, float32 [N, samples]; silence after a shorter one."""
    clips = torch.zeros(len(songs), num_samples)
    for clip, song in zip(clips, songs, strict=True):
        audio = torch.from_numpy(np.array(song.audio[:num_samples], dtype=np.float32))
        clip[: len(audio)] = audio
    return clips


def lesson_of(songs: Sequence[KnownSong], features: Tensor, frames_per_second: float) -> Lesson:
    """What a listener learns or is examined with: features [N, T, ...] and the truth about them."""
    num_frames = features.shape[1]
    vowels = [_frame_classes(song, num_frames, frames_per_second) for song in songs]
    return Lesson(
        features=features,
        vowels=torch.tensor(vowels, dtype=torch.int64),
        genres=torch.tensor([genre_class(song.genre) for song in songs]),
        artists=torch.tensor([artist_class(song.artist) for song in songs]),
    )


def _frame_classes(song: KnownSong, num_frames: int, frames_per_second: float) -> list[int]:
    if song.character_start_sec is None:
        return [UNJUDGED] * num_frames
    spans = [(span.start_sec, span.end_sec, span.vowel) for span in song.vowel_spans()]
    return frame_vowels(spans, num_frames, frames_per_second)
