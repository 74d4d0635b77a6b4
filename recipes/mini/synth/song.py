"""A synthetic song and everything that is true of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SungNote:
    """One note of the melody."""

    start_sec: float
    end_sec: float
    midi: int
    """Pitch of the voice, or of the lead where nobody sings."""
    vowel: str | None
    """a, e, i, o or u; None where the lead plays."""


@dataclass(frozen=True)
class SoundingChord:
    """One chord of the accompaniment."""

    start_sec: float
    end_sec: float
    pitch_classes: tuple[int, ...]
    """0 (C) to 11; the first is the bass's."""


@dataclass(frozen=True)
class SyntheticSong:
    """A song made by `compose`."""

    audio: NDArray[np.float32]
    """float32 [samples], mono, RMS about 0.1, never louder than 0.95."""
    sample_rate_hz: int
    genre: str
    artist: str
    lyrics: str
    """Empty for an instrumental."""
    character_start_sec: NDArray[np.float64]
    """float64 [len(lyrics)]; nan for characters that are not sung."""
    character_end_sec: NDArray[np.float64]
    notes: tuple[SungNote, ...]
    """In order of time."""
    chords: tuple[SoundingChord, ...]
    """In order of time."""
    bar_start_sec: NDArray[np.float64]
    """float64, ascending: when each bar begins; the last is the end of the last bar."""
    seed: int

    @property
    def duration_sec(self) -> float:
        """Length of the sound."""
        return len(self.audio) / self.sample_rate_hz
