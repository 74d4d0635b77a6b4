"""Whether drawn songs have the genre, the artist and the words that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.mini.evaluation.generated_songs import Asked
from recipes.mini.evaluation.ground_truth import KnownSong, composed_song, lyric_vowels
from recipes.mini.evaluation.listening.listener import Heard
from recipes.mini.evaluation.listening.sung_vowels import heard_vowels
from recipes.mini.evaluation.statistics import (
    confusion,
    mean_of,
    paired_test,
    rounded,
    share_of,
    shuffled_control,
    similarity,
)
from recipes.mini.synth import ARTISTS, GENRES, HELD_OUT_PAIRS

WANTED = 0.80
"""Share of genres, and of artists, that are to be found in drawn songs."""

_LOW_RATE_HZ = 8_000
"""Where only the words of a composed song are wanted; they do not depend on it."""

_NAMES = {"genre": GENRES, "artist": ARTISTS}


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What a judge takes some songs for: classes int64 [N] as lists, and the vowels of each."""

    genre: list[int]
    artist: list[int]
    vowels: list[list[int]]

    def of(self, kind: str) -> list[int]:
        """The classes of a kind, genre or artist."""
        return self.genre if kind == "genre" else self.artist


def verdicts_of(heard: Heard, frames_per_second: float) -> Verdicts:
    """The likeliest class of each song, and its vowels as they are heard."""
    return Verdicts(
        genre=heard.genres.argmax(dim=1).tolist(),
        artist=heard.artists.argmax(dim=1).tolist(),
        vowels=[heard_vowels(rows, frames_per_second) for rows in heard.vowels],
    )


def asked_songs(
    pairs: Sequence[tuple[int, int]], seeds: Sequence[int], duration_sec: float
) -> list[Asked]:
    """Songs to ask for: genre and artist of each pair, with words that fill such a song."""
    return [
        Asked(
            genre=genre,
            artist=artist,
            lyrics=composed_song(
                seed,
                duration_sec=duration_sec,
                sample_rate_hz=_LOW_RATE_HZ,
                genre=GENRES[genre],
                artist=ARTISTS[artist],
            ).lyrics,
            sample=sample,
        )
        for sample, ((genre, artist), seed) in enumerate(zip(pairs, seeds, strict=True))
    ]


def is_held_out(genre: int, artist: int) -> bool:
    """Whether no song that a model was trained on has this pair."""
    return (GENRES[genre], ARTISTS[artist]) in HELD_OUT_PAIRS


def classes_of(asked: Sequence[Asked], kind: str) -> list[int]:
    """What was asked of a kind, genre or artist."""
    return [song.genre if kind == "genre" else song.artist for song in asked]


def label_adherence(
    asked: Sequence[Asked],
    verdicts: Verdicts,
    ceiling_songs: Sequence[tuple[int, int]],
    ceilings: dict[str, Verdicts],
) -> dict[str, Any]:
    """Genres and artists that a judge finds as they were asked for.

    Args:
        asked: of the drawn songs.
        verdicts: on the drawn songs.
        ceiling_songs: genre and artist of true songs that nobody learnt from.
        ceilings: the same judge's verdicts on those, by the name of what was done to them.
    """
    figures: dict[str, Any] = {}
    for kind, names in _NAMES.items():
        wanted, found = classes_of(asked, kind), verdicts.of(kind)
        right = np.equal(wanted, found)
        apart = np.array([is_held_out(song.genre, song.artist) for song in asked], dtype=bool)
        true_classes = [pair[0] if kind == "genre" else pair[1] for pair in ceiling_songs]
        figures[kind] = {
            **share_of(right).to_json(),
            "chance": rounded(1 / len(names)),
            "ceilings": {
                name: share_of(_agreement(true_classes, other.of(kind))).to_json()
                for name, other in ceilings.items()
            },
            "shuffled_labels": shuffled_control(wanted, found).to_json(),
            "pairs_kept_from_training": share_of(right[apart]).to_json(),
            "pairs_of_training": share_of(right[~apart]).to_json(),
            "wanted": WANTED,
            "reached": bool(right.mean() >= WANTED),
            "classes": list(names),
            "confusion": confusion(wanted, found, len(names)).tolist(),
        }
    return figures


def _agreement(classes: Sequence[int], heard: Sequence[int]) -> NDArray[np.bool_]:
    """Which of the first songs, as many as were heard, are heard as what they are."""
    same: NDArray[np.bool_] = np.equal(classes[: len(heard)], heard)
    return same


def swapped(asked: Sequence[Asked], seed: int) -> dict[str, list[Asked]]:
    """The same songs with one thing changed, to another genre, artist, or another song's words."""
    generator = np.random.default_rng(seed)
    words = [song.lyrics for song in asked if lyric_vowels(song.lyrics)]
    return {
        "genre": [
            replace(song, genre=_other(song.genre, len(GENRES), generator)) for song in asked
        ],
        "artist": [
            replace(song, artist=_other(song.artist, len(ARTISTS), generator)) for song in asked
        ],
        "lyrics": [
            replace(song, lyrics=_other_words(song.lyrics, words, generator)) for song in asked
        ],
    }


def _other(class_: int, num_classes: int, generator: np.random.Generator) -> int:
    return int((class_ + generator.integers(1, num_classes)) % num_classes)


def _other_words(lyrics: str, words: Sequence[str], generator: np.random.Generator) -> str:
    others = [text for text in words if text != lyrics]
    return str(others[generator.integers(len(others))]) if others else lyrics


def swap_figures(
    kind: str,
    before: Sequence[Asked],
    after: Sequence[Asked],
    verdicts_before: Verdicts,
    verdicts_after: Verdicts,
) -> dict[str, Any]:
    """What a judge says when one label changed and chance stayed the same.

    `to_the_new` counts songs that are heard as the new class, `new_before` those that were heard
    as it before it was asked for: the control. `followed` counts, among the songs that were heard
    as asked before, those that are heard as the new class after. `other_kept` counts songs whose
    other label is heard as it was asked.
    """
    if kind == "lyrics":
        return _lyrics_swap(before, after, verdicts_before, verdicts_after)
    other = "artist" if kind == "genre" else "genre"
    new, old = np.array(classes_of(after, kind)), np.array(classes_of(before, kind))
    heard_before = np.array(verdicts_before.of(kind))
    heard_after = np.array(verdicts_after.of(kind))
    obeyed = heard_before == old
    others = np.array(classes_of(after, other))
    return {
        "to_the_new": share_of(heard_after == new).to_json(),
        "new_before": share_of(heard_before == new).to_json(),
        "stayed_with_the_old": share_of(heard_after == old).to_json(),
        "followed": share_of(heard_after[obeyed] == new[obeyed]).to_json(),
        "other_kept": share_of(np.array(verdicts_after.of(other)) == others).to_json(),
        "other_before": share_of(np.array(verdicts_before.of(other)) == others).to_json(),
        "chance": rounded(1 / len(_NAMES[kind])),
    }


def _lyrics_swap(
    before: Sequence[Asked],
    after: Sequence[Asked],
    verdicts_before: Verdicts,
    verdicts_after: Verdicts,
) -> dict[str, Any]:
    rows = [
        index
        for index, (old, new) in enumerate(zip(before, after, strict=True))
        if lyric_vowels(old.lyrics) and lyric_vowels(new.lyrics) and old.lyrics != new.lyrics
    ]
    gains = []
    for index in rows:
        new, old = lyric_vowels(after[index].lyrics), lyric_vowels(before[index].lyrics)
        # Twice the same texts: what a text is like to any singing falls out.
        to_new = _nearer(verdicts_after.vowels[index], new, old)
        gains.append(to_new - _nearer(verdicts_before.vowels[index], new, old))
    return {
        "likeness_gained_by_the_new": mean_of(gains).to_json(),
        "gain_against_none": paired_test(gains).to_json(),
        "gained": share_of([gain > 0 for gain in gains]).to_json(),
    }


def _nearer(heard: Sequence[int], one: Sequence[int], other: Sequence[int]) -> float:
    return similarity(heard, one) - similarity(heard, other)


def true_pairs(songs: Sequence[KnownSong]) -> list[tuple[int, int]]:
    """Genre and artist of true songs, as classes."""
    return [(GENRES.index(song.genre), ARTISTS.index(song.artist)) for song in songs]


def mean_level_distance_db(frames: torch.Tensor, other: torch.Tensor) -> float:
    """Mean absolute difference of two mean log-mel spectra; frames float32 [N, T, mels], 10 dB."""
    return round(float((frames.mean(dim=(0, 1)) - other.mean(dim=(0, 1))).abs().mean()) * 10.0, 3)
