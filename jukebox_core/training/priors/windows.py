"""Windows of songs as a prior reads them in training; no torch but for the final tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import TrainingError
from jukebox_core.labels import (
    UNKNOWN_ID,
    JukeboxTokenizer,
    SongLabels,
    relevant_lyrics,
    window_labels,
)
from jukebox_core.training.dataset.codes_cache import SongCodes
from jukebox_core.training.dataset.data import Report, TrainingSong, silent
from jukebox_core.training.priors.bar_position import NO_BAR, bar_places
from jukebox_core.training.priors.guide import NOT_SUNG, columns_of, sung_characters
from jukebox_core.units import COARSE_TO_FINE

_PADDING_CODE = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PriorSong:
    """One song as one prior reads it.

    codes       int16 [T]
    upper       int16 [T / tokens per upper token], or None at the top
    characters  int32 [T], see `sung_characters`; None where it is unknown
    bar_places  int8 [T], see `bar_places`; None where it is unknown, and below the top
    """

    name: str
    labels: SongLabels
    codes: NDArray[np.int16]
    upper: NDArray[np.int16] | None
    characters: NDArray[np.int32] | None
    total_samples: int
    bar_places: NDArray[np.int8] | None = None


def read_songs(
    config: JukeboxPriorConfig,
    tokenizer: JukeboxTokenizer,
    songs: Sequence[TrainingSong],
    codes: SongCodes,
    upper: SongCodes | None,
    *,
    report: Report = silent,
) -> list[PriorSong]:
    """The songs whose length the prior can be told; `report` hears how many are left out.

    Raises:
        LabelError: a genre has more words than the prior reads.
    """
    index = COARSE_TO_FINE.index(config.level)
    read = []
    for song in songs:
        own = codes.of(song)
        total_samples = len(own) * config.samples_per_token
        if len(own) == 0 or not _can_be_told(config, total_samples):
            continue
        # As `sung_characters` reads them, character by character.
        read_labels = tokenizer(song.artist, song.genre, song.lyrics, lyrics_format="verbatim")
        labels = read_labels.songs[0][index]
        read.append(
            PriorSong(
                name=song.name,
                labels=labels,
                codes=own,
                upper=None if upper is None else upper.of(song),
                characters=_characters(config, tokenizer, song, len(own)),
                total_samples=total_samples,
                bar_places=_bar_places(config, song, len(own)),
            )
        )
    if len(read) < len(songs):
        report(f"{len(songs) - len(read):,} of {len(songs):,} songs are too short or too long")
    return read


def _can_be_told(config: JukeboxPriorConfig, total_samples: int) -> bool:
    if config.labels is None:
        return True
    duration_sec = total_samples / config.sample_rate_hz
    return config.labels.min_duration_sec <= duration_sec < config.labels.max_duration_sec


def _characters(
    config: JukeboxPriorConfig, tokenizer: JukeboxTokenizer, song: TrainingSong, num_tokens: int
) -> NDArray[np.int32] | None:
    if config.lyrics is None or config.labels is None:
        return None
    return sung_characters(
        song,
        tokenizer.alphabets[config.labels.version],
        samples_per_token=config.samples_per_token,
        num_tokens=num_tokens,
    )


def _bar_places(
    config: JukeboxPriorConfig, song: TrainingSong, num_tokens: int
) -> NDArray[np.int8] | None:
    if config.conditioner is not None:  # the level above tells the time
        return None
    return bar_places(song, samples_per_token=config.samples_per_token, num_tokens=num_tokens)


@dataclass(frozen=True, slots=True)
class Place:
    """A window of one of the songs: which song, and its first token."""

    song: int
    start: int


class PriorWindows:
    """Windows of songs, at random or at given places.

    Raises:
        TrainingError: there is no song.
    """

    def __init__(self, config: JukeboxPriorConfig, songs: Sequence[PriorSong]) -> None:
        if not songs:
            raise TrainingError(
                f"no song is left for the {config.level.label} prior: all are too short or too long"
            )
        self.config = config
        self.songs = tuple(songs)
        self._ends = np.cumsum([len(song.codes) for song in songs])
        upsampling = config.conditioner.upsampling if config.conditioner is not None else 1
        self._step_tokens = upsampling

    def random_place(
        self, random: np.random.Generator, start_share: float, end_share: float = 0.0
    ) -> Place:
        """A song, long ones more often, and a window of it; in such shares its first or last."""
        number = int(np.searchsorted(self._ends, random.integers(self._ends[-1]), side="right"))
        num_free = max(len(self.songs[number].codes) - self.config.context_tokens, 0)
        num_starts = num_free // self._step_tokens + 1
        start = int(random.integers(num_starts)) * self._step_tokens
        chance = random.random()
        if chance < start_share:
            start = 0
        elif chance >= 1.0 - end_share:
            start = (num_starts - 1) * self._step_tokens
        return Place(number, start)

    def with_unknown(
        self, labels: SongLabels, random: np.random.Generator, share: float
    ) -> SongLabels:
        """Labels whose artist, genres or both are forgotten, each in `share` of the cases."""
        forget_artist, forget_genre = random.random(2) < share
        if forget_artist:
            labels = replace(labels, artist_id=UNKNOWN_ID)
        if forget_genre:
            labels = replace(labels, genre_ids=(UNKNOWN_ID,))
        return labels

    def with_noise(
        self, upper: NDArray[np.int64], random: np.random.Generator, share: float
    ) -> NDArray[np.int64]:
        """Codes of which a share is replaced at random, as the level above errs when singing."""
        noise = random.integers(self.config.num_codes, size=upper.shape)
        return np.where(random.random(upper.shape) < share, noise, upper)

    def labels_at(self, place: Place, labels: SongLabels | None = None) -> tuple[int, ...]:
        """The label vector of a window; `labels` in place of those of its song."""
        song = self.songs[place.song]
        return window_labels(
            self.config,
            labels or song.labels,
            total_samples=song.total_samples,
            offset_samples=0,
            start_token=place.start,
        )

    def codes_at(self, place: Place) -> NDArray[np.int64]:
        """int64 [context_tokens]; behind the end of the song padding."""
        return _window(self.songs[place.song].codes, place.start, self.config.context_tokens)

    def upper_at(self, place: Place) -> NDArray[np.int64]:
        """int64 [upper_context_tokens], the codes above the window; empty at the top."""
        upper = self.songs[place.song].upper
        if upper is None:
            return np.zeros(0, dtype=np.int64)
        return _window(upper, place.start // self._step_tokens, self.config.upper_context_tokens)

    def columns_at(self, place: Place) -> NDArray[np.int64]:
        """int64 [context_tokens]: the column, in the window's lyrics, of the character sung."""
        song = self.songs[place.song]
        if song.characters is None:
            return np.full(self.config.context_tokens, NOT_SUNG, dtype=np.int64)
        lyrics = relevant_lyrics(
            self.config,
            song.labels,
            total_samples=song.total_samples,
            offset_samples=0,
            start_token=place.start,
        )
        characters = song.characters[place.start : place.start + self.config.context_tokens]
        columns = np.full(self.config.context_tokens, NOT_SUNG, dtype=np.int64)
        columns[: len(characters)] = columns_of(characters, lyrics.indices)
        return columns

    def bar_places_at(self, place: Place) -> NDArray[np.int64]:
        """int64 [context_tokens]: the place of each token in its bar, or `NO_BAR`."""
        found = np.full(self.config.context_tokens, NO_BAR, dtype=np.int64)
        places = self.songs[place.song].bar_places
        if places is not None:
            part = places[place.start : place.start + self.config.context_tokens]
            found[: len(part)] = part
        return found

    def counted_at(self, place: Place) -> NDArray[np.bool_]:
        """bool [context_tokens]: which codes are of the song, and not padding."""
        num_left = len(self.songs[place.song].codes) - place.start
        return np.arange(self.config.context_tokens) < num_left

    def batch(
        self,
        places: Sequence[Place],
        *,
        labels: Sequence[SongLabels | None] | None = None,
        upper: Sequence[NDArray[np.int64]] | None = None,
    ) -> dict[str, Tensor]:
        """What the prior's forward pass takes, by the names of its arguments, and `columns`.

        `labels` and `upper` stand in for those of the songs where they are given.
        """
        told = labels or [None] * len(places)
        batch = {
            "codes": np.stack([self.codes_at(place) for place in places]),
            "labels": np.array(
                [self.labels_at(place, own) for place, own in zip(places, told, strict=True)],
                dtype=np.int64,
            ).reshape(len(places), -1),
            "counted": np.stack([self.counted_at(place) for place in places]),
        }
        if self.config.conditioner is not None:
            batch["upper_codes"] = np.stack(upper or [self.upper_at(place) for place in places])
        if self.config.lyrics is not None:
            batch["columns"] = np.stack([self.columns_at(place) for place in places])
        return {name: torch.from_numpy(array) for name, array in batch.items()}


def _window(codes: NDArray[np.int16], start: int, length: int) -> NDArray[np.int64]:
    window = np.full(length, _PADDING_CODE, dtype=np.int64)
    part = codes[start : start + length]
    window[: len(part)] = part
    return window
