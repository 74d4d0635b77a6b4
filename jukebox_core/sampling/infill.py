"""Sampling a part of a level again while everything around it stays; no torch.

An *infill* is sampled from what precedes it, and a little beyond its end. There the new codes and
the old ones lie side by side, and each row goes back to the old ones where both agree best, as the
segments of `speed: parallel` are joined. Outside [start, join_end) no code changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jukebox_core.errors import SongError
from jukebox_core.sampling.windows import Window, plan_windows
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

JOIN_SEC: Mapping[Level, float] = {Level.TOP: 1.0, Level.MIDDLE: 0.5, Level.BOTTOM: 0.125}
"""How far behind a section each level looks for its join. A level begins to look where the one
above has ended for certain, so a section reaches beyond its end by the sum at most."""

_NEARNESS = np.arange(1, 17)
"""What an equal code counts for a join: 16 codes on either side, the nearest most."""


@dataclass(frozen=True, slots=True)
class Infill:
    """Tokens [start, end) of a level that are sampled again, and the old ones as of [join_end.

    Somewhere in [end, join_end] each row goes back to the old codes. Where the level has a level
    above, all three must be where a token of that begins.
    """

    start: int
    end: int
    join_end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= self.join_end:
            raise ValueError(f"{self} must have 0 <= start < end <= join_end")

    def join(self, codes: NDArray[np.int64], old: NDArray[np.int64]) -> None:
        """Put the old codes back behind the join, in place; both int64 [rows, T]."""
        for row, place in enumerate(self.join_places(codes, old)):
            codes[row, place : self.join_end] = old[row, place : self.join_end]

    def join_places(self, new: NDArray[np.int64], old: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first token of each row that is old again, int64 [rows].

        The earliest of those places around which most codes are the same. Both int64 [rows, T].
        """
        before = min(len(_NEARNESS), self.end - self.start)
        compared = slice(self.end - before, self.join_end)
        scores = agreement(new[:, compared], old[:, compared])[:, before:]
        places: NDArray[np.int64] = self.end + np.argmax(scores, axis=1)
        return places


def agreement(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """How well two streams agree around each place in [0, n], int64 [rows, n + 1].

    Both are int64 [rows, n]. The places 0 and n have codes to compare on one side only.
    """
    nearness = np.concatenate([_NEARNESS, _NEARNESS[::-1]])
    same = np.pad(left == right, ((0, 0), (len(_NEARNESS), len(_NEARNESS))))
    return np.stack([np.convolve(row, nearness, mode="valid") for row in same])


@dataclass(frozen=True, slots=True)
class InfillPlan:
    """The windows of a level in the order in which they are sampled, and the joins between them.

    The windows of each of the `infills`, and at last those of what is missing at the end.
    """

    windows: tuple[Window, ...]
    infills: tuple[Infill, ...]


def plan_infills(
    total_tokens: int,
    context_tokens: int,
    hop_tokens: int,
    given_tokens: int,
    infills: Iterable[Infill],
) -> InfillPlan:
    """Plan a level of which the first `given_tokens` are there and the `infills` are not wanted.

    Infills that meet become one. From one that reaches the end of what is given everything is
    sampled: there is nothing to go back to.

    Raises:
        ValueError: see `plan_windows`.
    """
    windows: list[Window] = []
    joined: list[Infill] = []
    for infill in _merged(infills):
        if infill.end >= given_tokens:
            given_tokens = min(given_tokens, infill.start)
            break
        cut = Infill(infill.start, infill.end, min(infill.join_end, given_tokens))
        windows += plan_windows(cut.join_end, context_tokens, hop_tokens, cut.start)
        joined.append(cut)
    windows += plan_windows(total_tokens, context_tokens, hop_tokens, given_tokens)
    return InfillPlan(tuple(windows), tuple(joined))


def _merged(infills: Iterable[Infill]) -> list[Infill]:
    merged: list[Infill] = []
    for infill in sorted(infills, key=lambda each: each.start):
        if merged and infill.start < merged[-1].join_end:
            last = merged.pop()
            end, join_end = max(last.end, infill.end), max(last.join_end, infill.join_end)
            infill = Infill(last.start, end, join_end)
        merged.append(infill)
    return merged


def section_infills(
    time_base: TimeBase, start_top_token: int, end_top_token: int, total_top_tokens: int
) -> dict[Level, tuple[Infill, ...]]:
    """A section of a song, in tokens of the top, as an infill of every level.

    Every level is sampled from the same moment on. A finer one follows to where the one above is
    old again for certain, and looks for its own join behind that.
    """
    infills: dict[Level, tuple[Infill, ...]] = {}
    end = end_top_token
    for level in COARSE_TO_FINE:
        margin = max(time_base.seconds_to_tokens(JOIN_SEC[level], Level.TOP), 1)
        join_end = max(min(end + margin, total_top_tokens), end)
        tokens = time_base.tokens_per_top_token(level)
        infills[level] = (Infill(start_top_token * tokens, end * tokens, join_end * tokens),)
        end = join_end
    return infills


def section_tokens(
    time_base: TimeBase, start_sec: float, end_sec: float | None, total_top_tokens: int
) -> tuple[int, int]:
    """A section as its first top token and the one behind it; None ends with the song.

    Its borders are moved to the nearest ones of top tokens, see `TimeBase.border_of_song`.

    Raises:
        SongError: it is not inside the song (`field` is `start_sec` or `end_sec`).
    """
    length_sec = time_base.tokens_to_seconds(total_top_tokens, Level.TOP)
    start = time_base.border_of_song(start_sec, total_top_tokens)
    if start is None or start >= total_top_tokens:
        raise SongError(
            f"start_sec={start_sec:.10g} must lie in the song, which lasts {length_sec:.6g} s",
            field="start_sec",
        )
    if end_sec is None:
        return start, total_top_tokens
    end = time_base.border_of_song(end_sec, total_top_tokens)
    if end is None:
        raise SongError(
            f"end_sec={end_sec:.10g} must lie in the song, which lasts {length_sec:.6g} s",
            field="end_sec",
        )
    if end <= start:
        raise SongError(
            f"end_sec={end_sec:.10g} leaves nothing behind start_sec={start_sec:.10g}: a section "
            f"lasts {time_base.tokens_to_seconds(1, Level.TOP):.3g} s at least, which is one token "
            "of the top level",
            field="end_sec",
        )
    return start, end


def changed_tokens(infills: Sequence[Infill]) -> list[tuple[int, int]]:
    """The ranges [start, end) outside of which no code of a level is another one."""
    return [(infill.start, infill.join_end) for infill in _merged(infills)]
