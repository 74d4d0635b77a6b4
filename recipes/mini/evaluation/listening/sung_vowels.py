"""Whether the vowels that are heard are those of the words that were asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recipes.mini.evaluation.ground_truth import KnownSong, lyric_vowels
from recipes.mini.evaluation.listening.listener import NO_VOWEL
from recipes.mini.evaluation.statistics import mean_of, paired_test, share_in_songs, similarity

SHORTEST_SEC = 0.08
"""A vowel that is heard for less is none; sung ones last 0.2 s and more."""

_NUM_SHUFFLES = 20
_SMOOTHED_FRAMES = 3


def heard_vowels(vowels: Tensor, frames_per_second: float) -> list[int]:
    """The vowels of one song as they are heard, in their order, without regard to any text.

    A run of frames with the same vowel is one, if it is long enough.

    vowels  float32 [T, 1 + vowels], log-probabilities as a listener gives them
    """
    smoothed = functional.avg_pool1d(
        vowels.exp().t()[None],
        _SMOOTHED_FRAMES,
        stride=1,
        padding=_SMOOTHED_FRAMES // 2,
        count_include_pad=False,
    )[0].t()
    classes, lengths = torch.unique_consecutive(smoothed.argmax(dim=1), return_counts=True)
    shortest = SHORTEST_SEC * frames_per_second
    return [
        class_ - 1
        for class_, length in zip(classes.tolist(), lengths.tolist(), strict=True)
        if class_ != NO_VOWEL and length >= shortest
    ]


def compare_with_lyrics(
    heard: Sequence[Sequence[int]], lyrics: Sequence[str], seed: int
) -> dict[str, Any]:
    """Likeness of what is heard to what was asked, beside two kinds of shuffled words.

    `own` is the mean likeness (see `similarity`) to the song's own vowels; `reordered` to those
    same vowels in random orders, which has their number and their frequencies; `others` to the
    vowels of other songs. Each is tested against `own` in pairs, song by song.

    Args:
        heard: vowels of each song, see `heard_vowels`.
        lyrics: what was asked of each; songs without vowels in them are left out.
        seed: of the orders.
    """
    asked = [lyric_vowels(text) for text in lyrics]
    rows = [(h, a) for h, a in zip(heard, asked, strict=True) if a]
    generator = np.random.default_rng(seed)
    own = np.array([similarity(h, a) for h, a in rows])
    reordered = np.array([_to_reordered(h, a, generator) for h, a in rows])
    others = np.array([_to_others(index, rows, generator) for index in range(len(rows))])
    return {
        "songs": len(rows),
        "vowels_asked_per_song": mean_of([len(a) for _, a in rows]).to_json(),
        "vowels_heard_per_song": mean_of([len(h) for h, _ in rows]).to_json(),
        "own": mean_of(own).to_json(),
        "reordered": mean_of(reordered).to_json(),
        "others": mean_of(others).to_json(),
        "own_against_reordered": paired_test(own - reordered).to_json(),
        "own_against_others": paired_test(own - others).to_json(),
    }


def _to_reordered(
    heard: Sequence[int], asked: Sequence[int], generator: np.random.Generator
) -> float:
    orders = [generator.permutation(np.asarray(asked)).tolist() for _ in range(_NUM_SHUFFLES)]
    return float(np.mean([similarity(heard, order) for order in orders]))


def _to_others(
    index: int,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    generator: np.random.Generator,
) -> float:
    others = [place for place in range(len(rows)) if place != index]
    if not others:
        return float("nan")
    chosen = generator.choice(others, min(_NUM_SHUFFLES, len(others)), replace=False)
    return float(np.mean([similarity(rows[index][0], rows[place][1]) for place in chosen]))


def vowels_at_times(
    vowels: Tensor,
    spans: Sequence[Sequence[tuple[float, int]]],
    frames_per_second: float,
    seed: int,
) -> dict[str, Any]:
    """How many vowels are heard right at given times, beside the same in a random order.

    Intervals are by bootstrap over songs, since the vowels of one song belong together.

    Args:
        vowels: float32 [N, T, 1 + vowels], log-probabilities as a listener gives them.
        spans: for every song the time in seconds and the number of each vowel that was asked for.
        frames_per_second: of `vowels`.
        seed: of the orders.
    """
    generator = np.random.default_rng(seed)
    right, shuffled, asked_all = [], [], []
    for rows, song in zip(vowels, spans, strict=True):
        inside = [(sec, vowel) for sec, vowel in song if 0 <= sec * frames_per_second < len(rows)]
        if not inside:
            continue
        asked = np.array([vowel for _, vowel in inside])
        frames = [int(sec * frames_per_second) for sec, _ in inside]
        found = rows[frames, 1:].argmax(dim=1).numpy()
        right.append(found == asked)
        orders = [generator.permutation(asked) for _ in range(_NUM_SHUFFLES)]
        shuffled.append(float(np.mean([(found == order).mean() for order in orders])))
        asked_all += asked.tolist()
    commonest = max((asked_all.count(vowel) for vowel in set(asked_all)), default=0)
    gains = [float(song.mean()) - control for song, control in zip(right, shuffled, strict=True)]
    return {
        **share_in_songs(right),
        "chance": round(commonest / len(asked_all), 4) if asked_all else None,
        "reordered": mean_of(shuffled).to_json(),
        "against_reordered": paired_test(gains).to_json(),
    }


def true_times(songs: Sequence[KnownSong]) -> list[list[tuple[float, int]]]:
    """The middle and the number of every vowel that is sung in known songs."""
    return [[(span.middle_sec, span.vowel) for span in song.vowel_spans()] for song in songs]
