"""The lyrics of a song in parts: each part has words and times of its own; no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jukebox_core.alignment.times import LyricTimes, TimedText


def join_times(parts: Iterable[tuple[float, LyricTimes]], duration_sec: float) -> LyricTimes:
    """The words that are sung in each part, one part after the other.

    A part is sung from a stretch of its lyrics: lines before the first that is sung and behind the
    last are left out. What several parts sing is there several times.

    Args:
        parts: the second at which each begins in the song, and its times, from its beginning on.
        duration_sec: of the song.
    """
    text = ""
    characters: list[TimedText] = []
    words: list[TimedText] = []
    lines: list[TimedText] = []
    for start_sec, times in parts:
        sung = [line for line in times.lines if line.start_sec is not None]
        if not sung:
            continue
        begin = sung[0].first_character
        end = sung[-1].first_character + len(sung[-1].text)
        text += "\n" if text else ""
        moved = len(text) - begin
        for joined, own in (
            (characters, times.characters),
            (words, times.words),
            (lines, times.lines),
        ):
            joined += _moved(own, begin, end, moved, start_sec)
        text += times.text[begin:end]
    return LyricTimes(
        text=text,
        duration_sec=duration_sec,
        characters=tuple(characters),
        words=tuple(words),
        lines=tuple(lines),
    )


def _moved(
    texts: Sequence[TimedText], begin: int, end: int, moved: int, start_sec: float
) -> list[TimedText]:
    """Those that begin in [begin, end) of their lyrics, in the text and the time of the song."""
    return [
        replace(
            each,
            first_character=each.first_character + moved,
            start_sec=None if each.start_sec is None else each.start_sec + start_sec,
            end_sec=None if each.end_sec is None else each.end_sec + start_sec,
        )
        for each in texts
        if begin <= each.first_character < end
    ]
