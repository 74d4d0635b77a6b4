"""Random pieces of songs for the VQ-VAE, the same for the same step."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.data import TrainingSong
from jukebox_core.training.dataset.sung_vowels import UNKNOWN_VOWEL, sung_vowels


class Crops:
    """Pieces of `crop_samples`, each from a random song at a random token.

    artists, genres  names in the order of the auxiliary head's classes
    """

    def __init__(
        self,
        songs: Sequence[TrainingSong],
        *,
        crop_samples: int,
        samples_per_token: int,
        artists: Sequence[str],
        genres: Sequence[str],
    ) -> None:
        if not songs:
            raise TrainingError("there is no song to take pieces of")
        if crop_samples % samples_per_token or crop_samples < samples_per_token:
            raise TrainingError(
                f"pieces of {crop_samples:,} samples are no whole number of tokens of "
                f"{samples_per_token}"
            )
        self._songs = songs
        self._crop_samples, self._hop = crop_samples, samples_per_token
        self._artists, self._genres = list(artists), list(genres)
        self._vowels: dict[int, NDArray[np.int64]] = {}

    def batch(self, size: int, *key: int) -> dict[str, Tensor]:
        """`size` pieces, which follow from the numbers of `key`.

        audio   float32 [size, T], silence after the end of a short song
        vowels  int64 [size, T / samples_per_token]
        artist, genre  int64 [size]
        """
        chance = np.random.default_rng(key)
        audio = np.zeros((size, self._crop_samples), dtype=np.float32)
        vowels = np.zeros((size, self._crop_samples // self._hop), dtype=np.int64)
        labels = np.zeros((2, size), dtype=np.int64)
        for row in range(size):
            number = int(chance.integers(len(self._songs)))
            song = self._songs[number]
            room = max(song.num_samples - self._crop_samples, 0) // self._hop
            token = int(chance.integers(room + 1))
            piece = song.audio(token * self._hop, self._crop_samples)
            audio[row, : len(piece)] = piece
            sung = self._sung_vowels(number)[token : token + vowels.shape[1]]
            vowels[row, : len(sung)] = sung
            labels[:, row] = (
                _index_in(self._artists, song.artist),
                _index_in(self._genres, song.genre),
            )
        return {
            "audio": torch.from_numpy(audio),
            "vowels": torch.from_numpy(vowels),
            "artist": torch.from_numpy(labels[0]),
            "genre": torch.from_numpy(labels[1]),
        }

    def _sung_vowels(self, number: int) -> NDArray[np.int64]:
        if number not in self._vowels:
            self._vowels[number] = sung_vowels(self._songs[number], self._hop)
        return self._vowels[number]


def _index_in(names: list[str], name: str) -> int:
    """Its class; a name that no training song has does not count."""
    return names.index(name) if name in names else UNKNOWN_VOWEL
