"""When each character, word and line is sung, from the attention of an alignment; no torch.

An alignment says how much every top token attends to every character. Here it becomes one monotone
path through the lyrics: the one that gathers the most attention while it never goes back. It may
skip characters, it may begin and end anywhere (a song can be a part of its lyrics), and a character
that it holds through an instrumental break counts only where it is attended to.
`jukebox_core/alignment/formats.py` writes what comes out.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FRAME_SEC = 0.05
"""Resolution in time: the path is sought among frames of about this length."""

MAX_SKIPPED_CHARACTERS = 12
"""A longer run of characters without attention was not sung; a shorter one was sung fast."""

SKIPPED_CHARACTER_SEC = 0.1
"""What a skipped character takes at most."""

_HELD = 0.5
"""A character sounds while it has this part of the most attention it gets."""

MAX_PAUSE_SEC = 1.0
"""A character that is attended to again after a longer pause was sung before it, or behind it."""

_MOMENT = 0.25
"""A character is not sung where it gets less than this part of what it gets elsewhere."""

_SURELY_SUNG = 0.3
"""Attention that a character has only while it is sung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedText:
    """A part of the lyrics, and when it is sung in seconds; both times are None if it is not.

    `first_character` tells where it begins in the lyrics. `confidence` is the mean attention of its
    characters while they are sung, 0 to 1; what is skipped over fast has 0.
    """

    text: str
    first_character: int
    start_sec: float | None
    end_sec: float | None
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LyricTimes:
    """All characters, all words and all lines (empty ones left out) of `text`, in its order.

    Times of what is sung never go back, and lie inside `duration_sec`.
    """

    text: str
    duration_sec: float
    characters: tuple[TimedText, ...] = field(repr=False)
    words: tuple[TimedText, ...] = field(repr=False)
    lines: tuple[TimedText, ...] = field(repr=False)


def frame_tokens(tokens_per_second: float) -> int:
    """Rows of an alignment in one frame of about `FRAME_SEC`."""
    return max(round(tokens_per_second * FRAME_SEC), 1)


def iter_frames(
    blocks: Iterable[NDArray[np.float32]], tokens_per_frame: int
) -> Iterator[NDArray[np.float32]]:
    """The frames of `pool_alignment`, float32 [n, characters], as soon as their rows are there.

    One piece for every block (n may be 0), and one for the rows that are left at the end, if any.
    """
    rest: NDArray[np.float32] | None = None
    for block in blocks:
        rows = block if rest is None else np.concatenate((rest, block))
        whole = len(rows) - len(rows) % tokens_per_frame
        frames = [part.mean(axis=0) for part in _cut(rows[:whole], tokens_per_frame)]
        yield np.stack(frames) if frames else np.zeros((0, rows.shape[1]), np.float32)
        # A copy, or the whole block would stay in memory.
        rest = rows[whole:].copy()
    if rest is not None and len(rest):
        yield rest.mean(axis=0, keepdims=True)


def pool_alignment(
    blocks: Iterable[NDArray[np.float32]], tokens_per_frame: int
) -> NDArray[np.float32]:
    """Means of `tokens_per_frame` rows each, float32 [frames, characters]; the last may be of less.

    `blocks` are the rows of an alignment piece by piece, float32 [n, characters] of any n, so that
    a long song needs never be held whole.
    """
    pieces = list(iter_frames(blocks, tokens_per_frame))
    return np.concatenate(pieces) if pieces else np.zeros((0, 0), np.float32)


def lyric_times(
    alignment: NDArray[np.float32],
    text: str,
    *,
    tokens_per_second: float,
    duration_sec: float | None = None,
    joins_sec: Sequence[float] = (),
) -> LyricTimes:
    """When `text` is sung.

    A song that was continued is read piece by piece: what is sung before a join has the times that
    it had before the song went on, and only what is left of the text has times behind it.

    Args:
        alignment: float32 [T, characters], attention of each token (or of each frame that
            `pool_alignment` made) to each character; rows need not sum to 1.
        text: the characters that the alignment has columns for, lines parted by line breaks.
        tokens_per_second: rows of `alignment` for each second.
        duration_sec: length of the song; None: that of all rows. The last frame of
            `pool_alignment` may stand for fewer tokens than the others, so there it must be given.
        joins_sec: where the song was continued, in order.

    Raises:
        ValueError: text and alignment do not fit each other, or an attention is no number.
    """
    if alignment.ndim != 2 or alignment.shape[1] != len(text):
        raise ValueError(
            f"an alignment of {alignment.shape} does not fit lyrics of {len(text)} characters"
        )
    if duration_sec is None:
        duration_sec = len(alignment) / tokens_per_second
    tokens_per_frame = frame_tokens(tokens_per_second)
    frames = alignment
    if tokens_per_frame > 1:
        frames = pool_alignment(_cut(alignment, 256 * tokens_per_frame), tokens_per_frame)
    if not np.isfinite(frames).all() or (frames < 0.0).any():
        raise ValueError("attention is a finite number and not negative")
    spans = _Spans(len(text), tokens_per_frame / tokens_per_second, duration_sec)
    if len(text) and len(frames):
        joins = [math.ceil(sec / spans.frame_sec - 1e-6) for sec in joins_sec]
        _fill(spans, frames, _path_in_pieces(frames, text, joins))
    characters = tuple(spans.timed(text[index], (index,)) for index in range(len(text)))
    return LyricTimes(
        text=text,
        duration_sec=duration_sec,
        characters=characters,
        words=_parts(spans, text, r"\S+"),
        lines=_parts(spans, text, r"[^\s](?:[^\n]*[^\s])?"),
    )


def best_path(frames: NDArray[np.float32]) -> NDArray[np.int64]:
    """The character of each frame: never goes back, and gathers the most attention of all such.

    Among equals the earlier character is taken. Memory is two bytes for each number of `frames`
    (four for lyrics of more than 32,767 characters).

    frames   float32 [F, characters], both at least 1
    returns  int64 [F]
    """
    num_frames, num_characters = frames.shape
    index = np.arange(num_characters, dtype=np.int16 if num_characters < 2**15 else np.int32)
    came_from = np.zeros((num_frames, num_characters), dtype=index.dtype)
    gathered = frames[0].astype(np.float64)
    for frame in range(1, num_frames):
        most = np.maximum.accumulate(gathered)
        is_new = np.concatenate(([True], gathered[1:] > most[:-1]))
        came_from[frame] = np.maximum.accumulate(np.where(is_new, index, 0))
        gathered = most + frames[frame]
    path = np.empty(num_frames, dtype=np.int64)
    path[-1] = gathered.argmax()
    for frame in range(num_frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def _path_in_pieces(
    frames: NDArray[np.float32], text: str, joins: Sequence[int]
) -> NDArray[np.int64]:
    """`best_path` of each piece between joins, through what the pieces before have left of `text`.

    -1 where nothing is left.
    """
    path = np.full(len(frames), -1, dtype=np.int64)
    first = begin = 0
    for end in (*joins, len(frames)):
        if begin < end and first < len(text):
            piece = frames[begin:end, first:]
            path[begin:end] = first + best_path(piece)
            first = _first_left(frames[begin:end], text, path[begin:end], first)
        begin = max(begin, end)
    return path


def _first_left(piece: NDArray[np.float32], text: str, path: NDArray[np.int64], first: int) -> int:
    """The first character that is left when a piece is over: a word that was begun may go on."""
    attention = piece[np.arange(len(path)), path[: len(piece)]]
    sung = path[: len(piece)][attention >= _SURELY_SUNG]
    if not len(sung):
        return first
    last = int(sung[-1])
    is_inside_word = not text[last].isspace() and text[last + 1 : last + 2].strip() != ""
    return last if is_inside_word else last + 1


class _Spans:
    """Start, end and confidence of each character; not-a-number where it is not sung."""

    def __init__(self, num_characters: int, frame_sec: float, duration_sec: float) -> None:
        self.frame_sec = frame_sec
        self._duration_sec = duration_sec
        self.starts = np.full(num_characters, np.nan)
        self.ends = np.full(num_characters, np.nan)
        self.confidences = np.zeros(num_characters)

    def put(self, character: int, start_sec: float, end_sec: float, confidence: float) -> None:
        # The last frame may reach beyond the last token.
        self.starts[character] = min(start_sec, self._duration_sec)
        self.ends[character] = min(end_sec, self._duration_sec)
        self.confidences[character] = confidence

    def timed(self, text: str, characters: Sequence[int]) -> TimedText:
        sung = [index for index in characters if not np.isnan(self.starts[index])]
        return TimedText(
            text=text,
            first_character=characters[0],
            start_sec=float(self.starts[sung[0]]) if sung else None,
            end_sec=float(self.ends[sung[-1]]) if sung else None,
            confidence=float(self.confidences[sung].mean()) if sung else 0.0,
        )


def _fill(spans: _Spans, frames: NDArray[np.float32], path: NDArray[np.int64]) -> None:
    borders = np.flatnonzero(np.diff(path, prepend=-1, append=path[-1] + 1))
    last_character, last_end_sec = -1, 0.0
    for begin, end in pairwise(borders):
        character = int(path[begin])
        attention = frames[begin:end, character]
        if character < 0 or attention.max() <= 0.0:
            continue
        held = _held_frames(attention, max(round(MAX_PAUSE_SEC / spans.frame_sec), 1))
        start_sec = float(begin + held[0]) * spans.frame_sec
        end_sec = float(begin + held[-1] + 1) * spans.frame_sec
        num_skipped = character - last_character - 1 if last_character >= 0 else 0
        if 0 < num_skipped <= MAX_SKIPPED_CHARACTERS:
            start_sec = _put_skipped(spans, last_character, num_skipped, last_end_sec, start_sec)
        spans.put(character, start_sec, end_sec, float(min(attention[held].mean(), 1.0)))
        last_character, last_end_sec = character, end_sec


def _held_frames(attention: NDArray[np.float32], max_pause: int) -> NDArray[np.int64]:
    """The frames in which a character is held, up to the first long pause.

    What is looked at again much later was sung by then: or else the last of the words that are used
    up would last to the end of the song. A short moment of attention before is not counted.
    """
    held = np.flatnonzero(attention >= _HELD * attention.max())
    parts = np.split(held, np.flatnonzero(np.diff(held) > max_pause) + 1)
    gathered = [float(attention[part].sum()) for part in parts]
    wanted = _MOMENT * max(gathered)
    return next(part for part, each in zip(parts, gathered, strict=True) if each >= wanted)


def _put_skipped(
    spans: _Spans, last_character: int, num_skipped: int, after_sec: float, before_sec: float
) -> float:
    """Spread characters over the time before the next one, which begins when this returns."""
    gap_sec = min(before_sec - after_sec, num_skipped * SKIPPED_CHARACTER_SEC)
    first_sec, each_sec = before_sec - gap_sec, gap_sec / num_skipped
    if gap_sec <= 0.0:
        # No time between them: all of them share the first frame of the next character.
        first_sec, each_sec = before_sec, spans.frame_sec / (num_skipped + 1)
    for step in range(num_skipped):
        start_sec = first_sec + step * each_sec
        spans.put(last_character + 1 + step, start_sec, start_sec + each_sec, 0.0)
    return first_sec + num_skipped * each_sec


def _parts(spans: _Spans, text: str, pattern: str) -> tuple[TimedText, ...]:
    return tuple(
        spans.timed(found[0], range(found.start(), found.end()))
        for found in re.finditer(pattern, text)
    )


def _cut(rows: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
