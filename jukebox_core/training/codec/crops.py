"""Random pieces of songs for the VQ-VAE, the same for the same step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.data import TrainingSong
from jukebox_core.training.dataset.notes import UNKNOWN, chord_tones, melody_pitches
from jukebox_core.training.dataset.sung_vowels import sung_vowels


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
        self._truths: dict[int, _TokenTruth] = {}

    def batch(self, size: int, *key: int) -> dict[str, Tensor]:
        """`size` pieces, which follow from the numbers of `key`.

        audio   float32 [size, T], silence after the end of a short song
        vowels, pitches, bass  int64 [size, T / samples_per_token], classes of `sung_vowels.py`
                and `notes.py`
        chroma  float32 [size, 12, T / samples_per_token], 1 where a pitch class sounds
        artist, genre  int64 [size]
        """
        chance = np.random.default_rng(key)
        num_tokens = self._crop_samples // self._hop
        audio = np.zeros((size, self._crop_samples), dtype=np.float32)
        truths = []
        labels = np.zeros((2, size), dtype=np.int64)
        for row in range(size):
            number = int(chance.integers(len(self._songs)))
            song = self._songs[number]
            room = max(song.num_samples - self._crop_samples, 0) // self._hop
            token = int(chance.integers(room + 1))
            piece = song.audio(token * self._hop, self._crop_samples)
            audio[row, : len(piece)] = piece
            truths.append(self._truth(number).part(token, num_tokens))
            labels[:, row] = (
                _index_in(self._artists, song.artist),
                _index_in(self._genres, song.genre),
            )
        return {
            "audio": torch.from_numpy(audio),
            "artist": torch.from_numpy(labels[0]),
            "genre": torch.from_numpy(labels[1]),
        } | {
            name: torch.from_numpy(np.stack([getattr(truth, name) for truth in truths]))
            for name in ("vowels", "pitches", "bass", "chroma")
        }

    def _truth(self, number: int) -> "_TokenTruth":
        if number not in self._truths:
            song = self._songs[number]
            self._truths[number] = _TokenTruth(
                sung_vowels(song, self._hop),
                melody_pitches(song, self._hop),
                *chord_tones(song, self._hop),
            )
        return self._truths[number]


@dataclass(frozen=True, slots=True, eq=False)
class _TokenTruth:
    """What is known of every token of a song; `chroma` float32 [12, tokens], the others [tokens].

    vowels int64, pitches int64, bass int64; see `sung_vowels.py` and `notes.py`
    """

    vowels: NDArray[np.int64]
    pitches: NDArray[np.int64]
    bass: NDArray[np.int64]
    chroma: NDArray[np.float32]

    def part(self, first: int, num_tokens: int) -> "_TokenTruth":
        """Tokens from `first` on; nothing sounds behind the end."""

        def cut(values: NDArray[Any]) -> NDArray[Any]:
            piece = values[..., first : first + num_tokens]
            behind = [(0, 0)] * (values.ndim - 1) + [(0, num_tokens - piece.shape[-1])]
            return np.pad(piece, behind)

        return _TokenTruth(cut(self.vowels), cut(self.pitches), cut(self.bass), cut(self.chroma))


def _index_in(names: list[str], name: str) -> int:
    """Its class; a name that no training song has does not count."""
    return names.index(name) if name in names else UNKNOWN
