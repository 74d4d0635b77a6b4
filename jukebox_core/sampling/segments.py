"""One level cut into segments that are drawn side by side, and joined where they agree best.

Plain integers and arrays. A level is drawn window after window, each reading the end of the one
before; that chain is what makes a song slow. A segment is a part of the chain that does not wait
for the part before it: its first window has nothing to read, and draws the place of what it would
have read by itself. This *warm-up* is thrown away, but for what lies after the join.

The codes above are the same on both sides of a join, and so is chance, which belongs to places and
not to segments: the warm-up and what it stands for are two songs about the same thing, told with
the same dice. Where both drew the same codes, nothing is heard of the change from one to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.sampling.infill import Infill, agreement
from jukebox_core.sampling.windows import Window

MAX_SEGMENTS = 8
"""Segments of a level at most. It belongs to the song: with another number it is another one."""


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


def plan_segments(
    windows: Sequence[Window], num_segments: int, done_tokens: int = 0
) -> tuple[Segment, ...]:
    """Windows in order, dealt out to at most `num_segments` segments of about equal work.

    No more of them than make the longest shorter. A warm-up begins where its window begins, or
    after the `done_tokens` that were there before anything is drawn.
    """
    if not windows:
        return ()
    whole = Segment(tuple(windows))
    if num_segments < 2:
        return (whole,)
    longest = _shortest_longest(windows, num_segments, done_tokens)
    return tuple(_deal(windows, longest, done_tokens))


def _shortest_longest(windows: Sequence[Window], num_segments: int, done_tokens: int) -> int:
    """The least work, in tokens, of the longest segment with which the windows can be dealt out."""
    low = max(_warm_up(window, done_tokens) + window.num_new for window in windows[1:] or windows)
    low = max(low, windows[0].num_new)
    high = max(sum(window.num_new for window in windows), low)
    while low < high:
        middle = (low + high) // 2
        if len(_deal(windows, middle, done_tokens)) <= num_segments:
            high = middle
        else:
            low = middle + 1
    return low


def _deal(windows: Sequence[Window], longest: int, done_tokens: int) -> list[Segment]:
    """As few segments of at most `longest` tokens as hold the windows."""
    segments: list[Segment] = []
    begun: list[Window] = []
    warm_up_tokens = work = 0
    for window in windows:
        if begun and work + window.num_new > longest:
            segments.append(Segment(tuple(begun), warm_up_tokens))
            begun, warm_up_tokens = [], _warm_up(window, done_tokens)
            work = warm_up_tokens
        begun.append(window)
        work += window.num_new
    return [*segments, Segment(tuple(begun), warm_up_tokens)]


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
