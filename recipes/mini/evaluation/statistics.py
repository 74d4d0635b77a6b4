"""Intervals and tests: how far a figure could have come from chance. No torch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
NUM_PERMUTATIONS = 10_000
NUM_RESAMPLES = 2_000
"""Of the bootstrap."""
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
        interval = stats.binomtest(self.hits, self.number).proportion_ci(CONFIDENCE, "wilson")
        return float(interval.low), float(interval.high)

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

    `p_value` is one-sided, by flipping signs: all ways where there are at most `NUM_PERMUTATIONS`,
    else so many at random (the observed one counts as one of them, so that it is never 0);
    `effect_size` is the mean difference in its standard deviations (Cohen's d of paired values).
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
    low, high = _bootstrap((numbers,), np.mean)
    return Mean(float(numbers.mean()), low, high, numbers.size)


def paired_test(differences: NDArray[Any] | Sequence[float]) -> PairedTest:
    """Test differences float [N], one for each song, against 0; see `PairedTest`."""
    numbers = np.asarray(differences, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size < 2:
        return PairedTest(mean_of(numbers), 1.0, math.nan)
    result = _permutation((numbers,), np.mean, "samples")
    deviation = float(numbers.std(ddof=1))
    effect = float(numbers.mean()) / deviation if deviation > 1e-9 else math.nan
    return PairedTest(mean_of(numbers), float(result.pvalue), effect)


def shuffled_control(asked: Sequence[int], heard: Sequence[int]) -> ShuffledControl:
    """How often `heard` equals `asked` when the latter comes in random orders.

    asked, heard  class of each song, of equal length
    """

    def share_equal(questions: Ints, answers: Ints, axis: int) -> Floats:
        shares: Floats = np.mean(questions == answers, axis=axis)
        return shares

    result = _permutation((np.asarray(asked), np.asarray(heard)), share_equal, "pairings")
    shares = result.null_distribution
    low, high = np.quantile(shares, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return ShuffledControl(
        mean=float(shares.mean()),
        interval=(float(low), float(high)),
        p_value=float(result.pvalue),
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
        ends = _bootstrap((hits, numbers), _ratio_of_sums)
        figures["interval_95"] = [rounded(end) for end in ends]
    return {**figures, "songs": int(hits.size)}


def confusion(asked: Sequence[int], heard: Sequence[int], num_classes: int) -> Ints:
    """int64 [asked, heard]: how many songs of each class were heard as each."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(asked), np.asarray(heard)), 1)
    return counts


def similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """1 for equal, 0 for nothing in common: one less the edit distance by the longer length."""
    return float(Levenshtein.normalized_similarity(one, other))


def derangement(number: int, generator: np.random.Generator) -> Ints:
    """A random order int64 [number] in which nobody keeps its place; of one, there is none."""
    if number < 2:
        return np.zeros(number, dtype=np.int64)
    while True:
        order = generator.permutation(number)
        if not (order == np.arange(number)).any():
            return order.astype(np.int64)


def _ratio_of_sums(hits: Floats, numbers: Floats, axis: int) -> Floats:
    ratios: Floats = np.sum(hits, axis=axis) / np.sum(numbers, axis=axis)
    return ratios


def _bootstrap(samples: tuple[Floats, ...], statistic: Callable[..., Any]) -> tuple[float, float]:
    """The percentile interval over songs; of one song, its own figure twice."""
    if len(samples[0]) < 2:
        value = float(statistic(*samples, axis=0))
        return value, value
    interval = stats.bootstrap(
        samples,
        statistic,
        n_resamples=NUM_RESAMPLES,
        vectorized=True,
        paired=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _permutation(samples: tuple[Any, ...], statistic: Callable[..., Any], kind: str) -> Any:  # noqa: ANN401 (scipy has no types)
    return stats.permutation_test(
        samples,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=NUM_PERMUTATIONS,
        alternative="greater",
        rng=np.random.default_rng(_SEED),
    )
