"""Which vowel is sung at each token, from lyrics whose times are known; no torch."""

import numpy as np
from numpy.typing import NDArray

from jukebox_core.training.dataset.data import TrainingSong
from jukebox_core.training.dataset.syllables import VOWELS, vowels_of_characters

UNKNOWN_VOWEL = -100
NUM_VOWEL_CLASSES = len(VOWELS) + 1
"""Class 0: no vowel is sung; then a, e, i, o, u as `syllables.py` reads them."""


def sung_vowels(song: TrainingSong, samples_per_token: int) -> NDArray[np.int64]:
    """The class at the middle of every token of a song: int64 [tokens].

    `UNKNOWN_VOWEL` everywhere where the times are not known.
    """
    num_tokens = -(-song.num_samples // samples_per_token)
    if song.character_times is None:
        known = song.lyrics == ""
        return np.full(num_tokens, 0 if known else UNKNOWN_VOWEL, dtype=np.int64)
    vowels = np.zeros(num_tokens, dtype=np.int64)
    tokens_per_sec = song.sample_rate_hz / samples_per_token
    times = zip(song.character_times.start_sec, song.character_times.end_sec, strict=True)
    for vowel, (start_sec, end_sec) in zip(vowels_of_characters(song.lyrics), times, strict=True):
        if vowel is not None and not np.isnan(start_sec):
            start, end = (
                max(round(float(second) * tokens_per_sec), 0) for second in (start_sec, end_sec)
            )
            vowels[start:end] = VOWELS.index(vowel) + 1
    return vowels
