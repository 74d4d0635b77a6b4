"""Intervals and tests: how far a figure could have come from chance. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
_Z = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""

NUM_RESAMPLES = 10_000
_SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `number`, with the 95 % interval of Wilson (1927)."""

    hits: int
    number: int

    @property
    def value(self) -> float:
        """The share itself; not-a-number of nothing."""
        return self.hits / self.number if self.number else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end; all of [0, 1] of nothing."""
        if not self.number:
            return 0.0, 1.0
        share, number = self.value, self.number
        centre = share + _Z**2 / (2 * number)
        spread = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
        scale = 1 + _Z**2 / number
        return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)

    def to_json(self) -> dict[str, Any]:
        """`{"share", "hits", "number", "interval_95"}`."""
        return {
            "share": rounded(self.value),
            "hits": self.hits,
            "number": self.number,
            "interval_95": [rounded(end) for end in self.interval],
        }


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over songs, with its 95 % interval by the percentile bootstrap over the songs."""

    value: float
    low: float
    high: float
    number: int

    def to_json(self) -> dict[str, Any]:
        """`{"mean", "number", "interval_95"}`."""
        return {
            "mean": rounded(self.value),
            "number": self.number,
            "interval_95": [rounded(self.low), rounded(self.high)],
        }


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Whether paired differences lie above 0.

    `p_value` is one-sided, by flipping signs at random (the observed order counts as one of them,
    so that it is never 0); `effect_size` is the mean difference in its standard deviations
    (Cohen's d of paired values).
    """

    difference: Mean
    p_value: float
    effect_size: float

    def to_json(self) -> dict[str, Any]:
        """`{"difference": {...}, "p_value", "effect_size_d"}`."""
        return {
            "difference": self.difference.to_json(),
            "p_value": float(f"{self.p_value:.3g}"),
            "effect_size_d": rounded(self.effect_size),
        }


@dataclass(frozen=True, slots=True)
class ShuffledControl:
    """What the same answers reach against the same questions in random orders.

    `interval` holds 95 % of all orders; `p_value` is the part of them that reaches as much as the
    true order did.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """`{"mean", "range_95", "p_value"}`."""
        return {
            "mean": rounded(self.mean),
            "range_95": [rounded(end) for end in self.interval],
            "p_value": float(f"{self.p_value:.3g}"),
        }


def rounded(value: float) -> float | None:
    """Four digits after the point for JSON, which has no word for not-a-number."""
    # Plus zero: there is a negative one, which looks like a fault.
    return round(float(value), 4) + 0.0 if math.isfinite(value) else None


def share_of(right: NDArray[np.bool_] | Sequence[bool]) -> Share:
    """How many of `right` hold."""
    values = np.asarray(right, dtype=bool)
    return Share(hits=int(values.sum()), number=values.size)


def mean_of(values: NDArray[Any] | Sequence[float]) -> Mean:
    """Mean over songs and its interval; not-a-number of nothing.

    values  float [N], one for each song; those that are not a number are left out
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size == 0:
        return Mean(math.nan, math.nan, math.nan, 0)
    low, high = np.quantile(_resampled_means(numbers), _ends())
    return Mean(float(numbers.mean()), float(low), float(high), numbers.size)


def paired_test(differences: NDArray[Any] | Sequence[float]) -> PairedTest:
    """Test differences float [N], one for each song, against 0; see `PairedTest`."""
    numbers = np.asarray(differences, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size < 2:
        return PairedTest(mean_of(numbers), 1.0, math.nan)
    generator = np.random.default_rng(_SEED)
    signs = generator.integers(0, 2, (NUM_RESAMPLES, numbers.size), dtype=np.int8) * 2 - 1
    flipped = signs @ numbers / numbers.size
    # A hair of tolerance: the sums of one and the same numbers differ in their last bits.
    num_reached = int((flipped >= numbers.mean() - 1e-12).sum())
    deviation = float(numbers.std(ddof=1))
    effect = float(numbers.mean()) / deviation if deviation > 1e-9 else math.nan
    return PairedTest(mean_of(numbers), (num_reached + 1) / (NUM_RESAMPLES + 1), effect)


def shuffled_control(asked: Sequence[int], heard: Sequence[int]) -> ShuffledControl:
    """How often `heard` equals `asked` when the latter comes in random orders.

    asked, heard  class of each song, of equal length
    """
    questions, answers = np.asarray(asked), np.asarray(heard)
    generator = np.random.default_rng(_SEED)
    shares = np.array(
        [(generator.permutation(questions) == answers).mean() for _ in range(NUM_RESAMPLES)]
    )
    observed = float((questions == answers).mean())
    low, high = np.quantile(shares, _ends())
    num_reached = int((shares >= observed - 1e-12).sum())
    return ShuffledControl(
        mean=float(shares.mean()),
        interval=(float(low), float(high)),
        p_value=(num_reached + 1) / (NUM_RESAMPLES + 1),
    )


def share_in_songs(right: Sequence[NDArray[np.bool_] | Sequence[bool]]) -> dict[str, Any]:
    """A share of many things in few songs, as `Share.to_json` has it.

    What one song holds belongs together, so the interval is by percentile bootstrap over songs.

    Args:
        right: for every song, which of its things hold; songs without any are left out.
    """
    hits = np.array([np.sum(song) for song in right if len(song)], dtype=np.float64)
    numbers = np.array([len(song) for song in right if len(song)], dtype=np.float64)
    figures = Share(int(hits.sum()), int(numbers.sum())).to_json()
    if hits.size:
        counts = _resampled_counts(hits.size)
        ends = np.quantile((counts @ hits) / (counts @ numbers), _ends())
        figures["interval_95"] = [rounded(end) for end in ends]
    return {**figures, "songs": int(hits.size)}


def confusion(asked: Sequence[int], heard: Sequence[int], num_classes: int) -> Ints:
    """int64 [asked, heard]: how many songs of each class were heard as each."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(asked), np.asarray(heard)), 1)
    return counts


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Fewest insertions, deletions and replacements that make `other` of `one`."""
    row = list(range(len(other) + 1))
    for index, item in enumerate(one, start=1):
        diagonal, row[0] = row[0], index
        for column, counterpart in enumerate(other, start=1):
            replaced = diagonal + (item != counterpart)
            diagonal = row[column]
            row[column] = min(replaced, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """1 for equal, 0 for nothing in common: one less the edit distance by the longer length."""
    longer = max(len(one), len(other))
    return 1.0 - edit_distance(one, other) / longer if longer else 1.0


def derangement(number: int, generator: np.random.Generator) -> Ints:
    """A random order int64 [number] in which nobody keeps its place; of one, there is none."""
    if number < 2:
        return np.zeros(number, dtype=np.int64)
    while True:
        order = generator.permutation(number)
        if not (order == np.arange(number)).any():
            return order.astype(np.int64)


def _resampled_means(numbers: Floats) -> Floats:
    means: Floats = _resampled_counts(numbers.size) @ numbers / numbers.size
    return means


def _resampled_counts(number: int) -> Floats:
    """How often each of so many songs is drawn, with repeats: float64 [2000, number]."""
    generator = np.random.default_rng(_SEED)
    return generator.multinomial(number, np.full(number, 1 / number), 2_000).astype(np.float64)


def _ends() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
