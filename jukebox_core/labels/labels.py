"""What a prior is told about a song, and about one window of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig
from jukebox_core.errors import LabelError
from jukebox_core.labels.lyrics import LyricWindow, lyric_window
from jukebox_core.units import COARSE_TO_FINE, Level

EMPTY_GENRE_ID = -1
"""Fills the genre slots that a song leaves free; the model adds nothing for it."""


@dataclass(frozen=True, slots=True)
class SongLabels:
    """One song as one prior reads it: ids of that prior's own label version.

    `lyric_ids` holds the whole lyrics and is empty for an instrumental, and for a prior that reads
    no lyrics.
    """

    artist_id: int
    genre_ids: tuple[int, ...]
    lyric_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """A batch of songs for the three priors of one model.

    `songs[i]` holds song i as top, middle and bottom read it; `resolution[i]` tells, per level and
    JSON-ready, what its artist and genre became. `max_genres` has one number for each prior.
    """

    songs: tuple[tuple[SongLabels, ...], ...]
    resolution: tuple[Mapping[str, Any], ...]
    max_genres: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.songs)

    def for_level(self, level: Level) -> tuple[SongLabels, ...]:
        """Every song as the prior of `level` reads it."""
        return tuple(song[COARSE_TO_FINE.index(level)] for song in self.songs)

    def song(self, index: int) -> "Labels":
        """One song of the batch, for going on with it alone. Raises IndexError without it."""
        return Labels((self.songs[index],), (self.resolution[index],), self.max_genres)

    @classmethod
    def from_input_ids(cls, input_ids: Sequence[ArrayLike], config: JukeboxConfig) -> "Labels":
        """Inverse of `labels["input_ids"]`, for code that was written for the Hugging Face class.

        `input_ids` has one int64 [songs, 4 + genres + characters] for each prior, top first.

        Raises:
            LabelError: an array has another shape than the model's priors read.
        """
        rows = [_songs_of(ids, prior) for ids, prior in zip(input_ids, config.priors, strict=False)]
        if len(rows) != len(config.priors) or len({len(songs) for songs in rows}) != 1:
            raise LabelError(
                f"input_ids needs one array for each of the {len(config.priors)} priors, with one "
                f"row for each song; found rows: {[len(songs) for songs in rows]}"
            )
        songs = tuple(zip(*rows, strict=True))
        max_genres = tuple(1 if p.labels is None else p.labels.max_genres for p in config.priors)
        return cls(songs, tuple({} for _ in songs), max_genres)

    def __getitem__(self, key: str) -> list[NDArray[np.int64]]:
        """`labels["input_ids"]`: what the Hugging Face tokenizer returns, top first.

        Each array is int64 [songs, 4 + genres + characters]: three zeros for the times, artist,
        genres padded with -1, and the whole lyrics where the prior reads them.

        Raises:
            KeyError: any other key.
            LabelError: the lyrics of the songs differ in length, so that no array can hold them.
        """
        if key != "input_ids":
            raise KeyError(key)
        return [self._input_ids(level) for level in COARSE_TO_FINE]

    def _input_ids(self, level: Level) -> NDArray[np.int64]:
        songs = self.for_level(level)
        lengths = {len(song.lyric_ids) for song in songs}
        if len(lengths) > 1:
            raise LabelError(
                f"lyrics of {sorted(lengths)} characters do not fit one array: use `songs`, which "
                "keeps each song apart"
            )
        max_genres = self.max_genres[COARSE_TO_FINE.index(level)]
        rows = [
            (0, 0, 0, song.artist_id, *_padded_genres(song, max_genres), *song.lyric_ids)
            for song in songs
        ]
        return np.array(rows, dtype=np.int64)


def _songs_of(input_ids: ArrayLike, prior: JukeboxPriorConfig) -> list[SongLabels]:
    """The rows of one array of `input_ids`; times, in front, are set anew for each window."""
    ids = np.asarray(input_ids)
    max_genres = 0 if prior.labels is None else prior.labels.max_genres
    if ids.ndim != 2 or ids.shape[1] < 4 + max_genres:
        raise LabelError(
            f"input_ids of the {prior.level.label} prior have the shape {ids.shape}, but need "
            f"[songs, {4 + max_genres} or more]"
        )
    has_lyrics = prior.lyrics is not None
    return [
        SongLabels(
            artist_id=row[3],
            genre_ids=tuple(id_ for id_ in row[4 : 4 + max_genres] if id_ != EMPTY_GENRE_ID),
            lyric_ids=tuple(row[4 + max_genres :]) if has_lyrics else (),
        )
        for row in ids.tolist()
    ]


def window_labels(
    prior_config: JukeboxPriorConfig,
    song: SongLabels,
    *,
    total_samples: int,
    offset_samples: int,
    start_token: int,
) -> tuple[int, ...]:
    """The label vector of the window that begins at `start_token` of the drawn part.

    It holds the samples of the whole song, the samples before this window, the samples of a full
    window (also where less of it is drawn), artist, genres padded with -1, and the characters
    around this window. A prior without labels gets an empty vector.

    Raises:
        LabelError: the window begins outside the song, or the genres are too many.
    """
    if prior_config.labels is None:
        return ()
    window_offset_samples = offset_samples + start_token * prior_config.samples_per_token
    lyrics = relevant_lyrics(
        prior_config,
        song,
        total_samples=total_samples,
        offset_samples=offset_samples,
        start_token=start_token,
    )
    return (
        total_samples,
        window_offset_samples,
        prior_config.context_samples,
        song.artist_id,
        *_padded_genres(song, prior_config.labels.max_genres),
        *lyrics.ids,
    )


def relevant_lyrics(
    prior_config: JukeboxPriorConfig,
    song: SongLabels,
    *,
    total_samples: int,
    offset_samples: int,
    start_token: int,
) -> LyricWindow:
    """The characters that the window at `start_token` hears, and where they stand in the lyrics.

    Both tuples are empty for a prior that reads no lyrics.

    Raises:
        LabelError: the window begins outside the song.
    """
    return lyric_window(
        song.lyric_ids if prior_config.lyrics is not None else (),
        prior_config.lyrics.num_tokens if prior_config.lyrics is not None else 0,
        total_samples=total_samples,
        offset_samples=offset_samples + start_token * prior_config.samples_per_token,
        duration_samples=prior_config.context_samples,
    )


def _padded_genres(song: SongLabels, max_genres: int) -> tuple[int, ...]:
    if len(song.genre_ids) > max_genres:
        raise LabelError(
            f"{len(song.genre_ids)} genre ids do not fit the {max_genres} this prior reads"
        )
    return song.genre_ids + (EMPTY_GENRE_ID,) * (max_genres - len(song.genre_ids))
