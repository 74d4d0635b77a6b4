"""One level cut into segments that are drawn side by side, and joined where they agree best.

Plain integers and arrays. A level is drawn window after window, each reading the end of the one
before; that chain is what makes a song slow. A segment is a stretch of the level that does not wait
for the stretch before it: it begins with nothing to read, wherever that is, and draws the place of
what it would have read by itself. This *warm-up* is thrown away, but for what lies after the join.

The codes above are the same on both sides of a join, and so is chance, which belongs to places and
not to segments: the warm-up and what it stands for are two songs about the same thing, told with
the same dice. Where both drew the same codes, nothing is heard of the change from one to the other.

How many segments there are, and where they begin, belongs to the song: with others it is another
one. So the record of a job keeps them, as `Cut`s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.sampling.infill import Infill, agreement
from jukebox_core.sampling.step_cost import StepCosts
from jukebox_core.sampling.windows import Window, plan_windows

WARM_UP_SHARE = 1 / 16
"""A warm-up is this part of a prior's context."""
COST_TOLERANCE = 0.05
"""So far costs are known. Of numbers of segments that differ by less the largest is taken: other
devices have more rows to spare than the one where costs were measured."""
MAX_WINDOW_SEGMENTS = 8
"""Segments of a level at most, where they are made of whole windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A level to be drawn: `done_tokens` of its `total_tokens` are there, from the first on.

    Windows of `context_tokens` begin `hop_tokens` apart, each where a token of the level above
    begins, which is so every `ratio` tokens.
    """

    total_tokens: int
    done_tokens: int
    context_tokens: int
    hop_tokens: int
    ratio: int

    @property
    def missing_tokens(self) -> int:
        """Tokens that are left to draw."""
        return max(self.total_tokens - self.done_tokens, 0)

    @property
    def warm_up_tokens(self) -> int:
        """Tokens that a segment draws before its own, a multiple of `ratio`."""
        return max(int(self.context_tokens * WARM_UP_SHARE) // self.ratio, 1) * self.ratio

    def windows(self, begin: int, start: int, end: int) -> tuple[Window, ...]:
        """The windows that draw [start, end), the first of which begins at or behind `begin`."""
        windows = plan_windows(end - begin, self.context_tokens, self.hop_tokens, start - begin)
        return tuple(
            Window(start=begin + each.start, end=begin + each.end, first_new=begin + each.first_new)
            for each in windows
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a segment takes over from the one before (`start`), and where its first window begins.

    What lies between is its warm-up, unless it was there before anything was drawn.
    """

    start: int
    begin: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.start:
            raise ValueError(f"{self} must have 0 <= begin <= start")


@dataclass(frozen=True, slots=True)
class Segment:
    """Windows that read each other, and a warm-up: tokens that the first draws and nobody hears.

    The windows say what of them is kept, as if nothing were drawn side by side. Those of each of
    the `infills` end with it, and are joined there to what was there before.
    """

    windows: tuple[Window, ...]
    warm_up_tokens: int = 0
    infills: tuple[Infill, ...] = ()

    @property
    def start(self) -> int:
        """Where the segment takes over from the one before."""
        return self.windows[0].first_new

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.windows[-1].end

    def drawn(self, number: int) -> Window:
        """A window as its prior is to draw it: the first together with the warm-up."""
        window = self.windows[number]
        first_new = window.first_new - self.warm_up_of(number)
        return Window(start=window.start, end=window.end, first_new=first_new)

    def warm_up_of(self, number: int) -> int:
        """Tokens that a window draws before those that are kept; 0 for all but the first."""
        return self.warm_up_tokens if number == 0 else 0


def plan_cuts(stretch: Stretch, costs: StepCosts) -> tuple[Cut, ...]:
    """The segments with which a level is drawn first, or as good as first.

    They are of equal work: the first, which has no warm-up, gives most tokens to the song. None
    gives fewer than its warm-up has. Every window costs its beginning and a prefill, and more
    segments than there are rows take turns.
    """
    if not stretch.missing_tokens:
        return ()
    numbers = range(1, max(_most_segments(stretch, costs), 1) + 1)
    cost_of = {number: _drawing_cost(stretch, number, costs) for number in numbers}
    enough = (1.0 + COST_TOLERANCE) * min(cost_of.values())
    return _cuts(stretch, max(number for number, cost in cost_of.items() if cost <= enough))


def _most_segments(stretch: Stretch, costs: StepCosts) -> int:
    """With more, some would be shorter than their warm-up, or take turns for nothing."""
    missing, warm_up = stretch.missing_tokens, stretch.warm_up_tokens
    new_tokens = stretch.context_tokens - warm_up
    if new_tokens <= 0:
        return 1
    turns = math.ceil(missing / (new_tokens * costs.max_rows))
    return min(turns * costs.max_rows, (missing - warm_up) // warm_up)


def _drawing_cost(stretch: Stretch, num_segments: int, costs: StepCosts) -> float:
    """What a level costs in so many segments, in steps of one row."""
    warm_up = stretch.warm_up_tokens if num_segments > 1 else 0
    num_drawn = warm_up + math.ceil((stretch.missing_tokens - warm_up) / num_segments)
    windows = plan_windows(num_drawn, stretch.context_tokens, stretch.hop_tokens)
    return costs.of_rows(
        num_segments,
        num_drawn=num_drawn,
        num_windows=len(windows),
        num_read=sum(window.num_prefix for window in windows),
    )


def _cuts(stretch: Stretch, num_segments: int) -> tuple[Cut, ...]:
    warm_up, done_tokens = stretch.warm_up_tokens, stretch.done_tokens
    given = stretch.missing_tokens - warm_up
    cuts = [Cut(done_tokens, 0)]
    for number in range(1, num_segments):
        start = done_tokens + warm_up + given * number // num_segments
        start -= start % stretch.ratio
        cuts.append(Cut(start, max(start - warm_up, 0)))
    return tuple(cuts)


def segments_of(stretch: Stretch, cuts: Sequence[Cut]) -> tuple[Segment, ...]:
    """The segments that begin at these cuts, in order; none where there are no cuts."""
    segments = []
    for number, cut in enumerate(cuts):
        is_last = number + 1 == len(cuts)
        end = stretch.total_tokens if is_last else cuts[number + 1].start
        warm_up = cut.start - max(cut.begin, stretch.done_tokens) if number else 0
        windows = stretch.windows(cut.begin, cut.start, end)
        segments.append(Segment(windows, warm_up))
    return tuple(segments)


def window_cuts(stretch: Stretch) -> tuple[Cut, ...]:
    """Where segments of whole windows of the exact song begin, of about equal work.

    So songs were cut before their records kept it. No more of them than make the longest shorter;
    a warm-up is all that its first window would have read.
    """
    done_tokens = stretch.done_tokens
    windows = stretch.windows(0, done_tokens, stretch.total_tokens)
    if not windows:
        return ()
    low = max(_warm_up(window, done_tokens) + window.num_new for window in windows[1:] or windows)
    low = max(low, windows[0].num_new)
    high = max(stretch.missing_tokens, low)
    while low < high:
        middle = (low + high) // 2
        if len(_deal(windows, middle, done_tokens)) <= MAX_WINDOW_SEGMENTS:
            high = middle
        else:
            low = middle + 1
    first, *others = _deal(windows, low, done_tokens)
    return Cut(first.first_new, 0), *(Cut(each.first_new, each.start) for each in others)


def _deal(windows: Sequence[Window], longest: int, done_tokens: int) -> list[Window]:
    """The first windows of as few segments of at most `longest` tokens as hold them all."""
    firsts: list[Window] = []
    work = 0
    for window in windows:
        if not firsts or work + window.num_new > longest:
            work = _warm_up(window, done_tokens) if firsts else 0
            firsts.append(window)
        work += window.num_new
    return firsts


def _warm_up(window: Window, done_tokens: int) -> int:
    return window.first_new - min(max(window.start, done_tokens), window.first_new)


def join_segments(
    segments: Sequence[Segment], streams: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """One stream of those that the segments drew.

    A stream goes on where the next has agreed with it best, in the second half of the next one's
    warm-up: the first half knows too little of what came before.

    Args:
        segments: in order.
        streams: int64 [rows, T] of each, filled in from its warm-up (the first: from 0) to its end.

    Returns:
        int64 [rows, T], filled in to the end of the last segment.
    """
    joined = streams[0].copy()
    for segment, stream in zip(segments[1:], streams[1:], strict=True):
        for row, join in enumerate(join_places(segment, joined, stream)):
            joined[row, join : segment.end] = stream[row, join : segment.end]
    return joined


def join_places(
    segment: Segment, before: NDArray[np.int64], stream: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first token of each row, int64 [rows], that a segment's stream gives to the song.

    Both streams are int64 [rows, T]; the one before is there up to the start of the segment.
    """
    from_token = segment.start - segment.warm_up_tokens // 2
    overlap = slice(from_token, segment.start)
    return from_token + _best_places(before[:, overlap], stream[:, overlap])


def _best_places(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in [0, n] to go from left to right, int64 [rows], both [rows, n]; the later the better.

    The place n, behind all, has codes to compare on one side only.
    """
    scores = agreement(left, right)
    places: NDArray[np.int64] = scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)
    return places
