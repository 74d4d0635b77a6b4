"""Which pitch and which chord sound at each token, from notes that are known; no torch."""

import numpy as np
from numpy.typing import NDArray

from jukebox_core.training.dataset.data import TrainingSong

UNKNOWN = -100
"""Where nobody knows; as `torch.nn.functional.cross_entropy` leaves it out."""

LOWEST_MIDI, HIGHEST_MIDI = 36, 96
"""Pitches of a melody that are told apart; those beyond count as unknown."""

NUM_PITCH_CLASSES = HIGHEST_MIDI - LOWEST_MIDI + 2
"""Class 0: no note; then the semitones from `LOWEST_MIDI` up."""

NUM_CHROMA = 12
NUM_BASS_CLASSES = NUM_CHROMA + 1
"""Class 0: no chord; then C to B."""


def melody_pitches(song: TrainingSong, samples_per_token: int) -> NDArray[np.int64]:
    """The class of the pitch at the middle of every token: int64 [tokens].

    `UNKNOWN` everywhere where the melody is not known.
    """
    num_tokens = -(-song.num_samples // samples_per_token)
    melody = song.melody
    if melody is None:
        return np.full(num_tokens, UNKNOWN, dtype=np.int64)
    classes = np.rint(melody.midi).astype(np.int64) - LOWEST_MIDI + 1
    classes[(classes < 1) | (classes >= NUM_PITCH_CLASSES)] = UNKNOWN
    pitches = np.zeros(num_tokens, dtype=np.int64)
    for start, end, pitch in zip(
        *_token_spans(melody.start_sec, melody.end_sec, song, samples_per_token),
        classes,
        strict=True,
    ):
        pitches[start:end] = pitch
    return pitches


def chord_tones(
    song: TrainingSong, samples_per_token: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The class of the bass, int64 [tokens]; which pitch classes sound, 0 or 1, [12, tokens].

    The bass is `UNKNOWN` everywhere where the chords are not known.
    """
    num_tokens = -(-song.num_samples // samples_per_token)
    tones = np.zeros((NUM_CHROMA, num_tokens), dtype=np.float32)
    chords = song.chords
    if chords is None:
        return np.full(num_tokens, UNKNOWN, dtype=np.int64), tones
    bass = np.zeros(num_tokens, dtype=np.int64)
    for start, end, root, members in zip(
        *_token_spans(chords.start_sec, chords.end_sec, song, samples_per_token),
        chords.bass,
        chords.members,
        strict=True,
    ):
        bass[start:end] = root + 1
        tones[:, start:end] = members[:, None]
    return bass, tones


def _token_spans(
    start_sec: NDArray[np.float64],
    end_sec: NDArray[np.float64],
    song: TrainingSong,
    samples_per_token: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens whose middles lie in each span: the first, and the one after the last."""
    tokens_per_sec = song.sample_rate_hz / samples_per_token
    start, end = (
        np.maximum(np.rint(times * tokens_per_sec).astype(np.int64), 0)
        for times in (start_sec, end_sec)
    )
    return start, end
