"""Timed lyrics as JSON, LRC and WebVTT; no torch.

LRC is what music players read: a time before each line, and in its enhanced form one before each
word; players that do not know that form show its times as text. WebVTT is what
browsers show with `<track>`; words light up by the timestamps inside a cue.
What is not sung is in the JSON, with null for its times, and in neither of the others.
"""

import json
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from jukebox_core.alignment.times import LyricTimes, TimedText

_SHORTEST_CUE_MS = 1


def to_json(times: LyricTimes) -> str:
    """One object: `text`, `duration_seconds`, and the lists `characters`, `words` and `lines`."""
    values = {
        "text": times.text,
        "duration_seconds": round(times.duration_sec, 3),
        "characters": [_json_part(part) for part in times.characters],
        "words": [_json_part(part) for part in times.words],
        "lines": [_json_part(part) for part in times.lines],
    }
    return json.dumps(values, ensure_ascii=False) + "\n"


def _json_part(part: TimedText) -> dict[str, Any]:
    return {
        "text": part.text,
        "first_character": part.first_character,
        "start_seconds": None if part.start_sec is None else round(part.start_sec, 3),
        "end_seconds": None if part.end_sec is None else round(part.end_sec, 3),
        "confidence": round(part.confidence, 4),
    }


def from_json(text: str) -> LyricTimes:
    """Inverse of `to_json`, to the millisecond. Raises ValueError, KeyError or TypeError."""
    values = json.loads(text)
    return LyricTimes(
        text=values["text"],
        duration_sec=values["duration_seconds"],
        characters=tuple(_part_from_json(part) for part in values["characters"]),
        words=tuple(_part_from_json(part) for part in values["words"]),
        lines=tuple(_part_from_json(part) for part in values["lines"]),
    )


def _part_from_json(values: dict[str, Any]) -> TimedText:
    return TimedText(
        text=values["text"],
        first_character=values["first_character"],
        start_sec=values["start_seconds"],
        end_sec=values["end_seconds"],
        confidence=values["confidence"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SongHeader:
    """What the first lines of an LRC file say about a song; empty texts are left out."""

    title: str = ""
    artist: str = ""
    album: str = ""


def to_lrc(times: LyricTimes, *, word_times: bool = True, header: SongHeader | None = None) -> str:
    """`[mm:ss.xx]` before each line that is sung, and `<mm:ss.xx>` before each word of it."""
    header = header or SongHeader()
    named = {"ti": header.title, "ar": header.artist, "al": header.album}
    lines = [f"[{name}:{_in_brackets(text)}]" for name, text in named.items() if text]
    lines.append(f"[length:{_minutes(times.duration_sec)}]")
    for line, words in _sung_lines(times):
        begin_sec = line.start_sec or 0.0
        if word_times:
            text = " ".join(f"<{_minutes(word.start_sec or 0.0)}>{word.text}" for word in words)
            text += f" <{_minutes(line.end_sec or 0.0)}>"
        else:
            text = " ".join(word.text for word in words)
        lines.append(f"[{_minutes(begin_sec)}]{text}")
    return "\n".join(lines) + "\n"


def sung_lines(times: LyricTimes) -> tuple[tuple[int, str], ...]:
    """Start in milliseconds and text of each line that is sung, without words that are not."""
    return tuple(
        (_milliseconds(line.start_sec), " ".join(word.text for word in words))
        for line, words in _sung_lines(times)
    )


def to_webvtt(times: LyricTimes) -> str:
    """One cue for each line that is sung, with a timestamp before each of its later words."""
    cues = ["WEBVTT"]
    for number, (line, words) in enumerate(_sung_lines(times), start=1):
        begin_ms = _milliseconds(line.start_sec)
        end_ms = max(_milliseconds(line.end_sec), begin_ms + _SHORTEST_CUE_MS)
        payload = _cue_text(words, begin_ms, end_ms)
        cues.append(f"{number}\n{_clock(begin_ms)} --> {_clock(end_ms)}\n{payload}")
    return "\n\n".join(cues) + "\n"


def _cue_text(words: list[TimedText], begin_ms: int, end_ms: int) -> str:
    """The words, each behind its time; a time inside a cue must be later than all before it."""
    parts, last_ms = [], begin_ms
    for word in words:
        start_ms = _milliseconds(word.start_sec)
        stamp = ""
        if last_ms < start_ms < end_ms:
            stamp, last_ms = f"<{_clock(start_ms)}>", start_ms
        parts.append(stamp + _escaped(word.text))
    return " ".join(parts)


def _sung_lines(times: LyricTimes) -> list[tuple[TimedText, list[TimedText]]]:
    """Each line of which something is sung, with the words of it that are.

    Words and lines come in the order of the text, so each is looked at once.
    """
    lines = []
    later = deque(times.words)
    for line in times.lines:
        end = line.first_character + len(line.text)
        words = []
        while later and later[0].first_character < end:
            word = later.popleft()
            if word.first_character >= line.first_character and word.start_sec is not None:
                words.append(word)
        if words:
            lines.append((line, words))
    return lines


def _in_brackets(text: str) -> str:
    """On one line, and without brackets of its own."""
    return " ".join(text.split()).translate(str.maketrans("[]", "()"))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _milliseconds(time_sec: float | None) -> int:
    return round((time_sec or 0.0) * 1000.0)


def _minutes(time_sec: float) -> str:
    """mm:ss.xx, cut and not rounded: a word must not light up late; minutes may pass 59."""
    hundredths = math.floor(time_sec * 100.0 + 1e-6)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _clock(time_ms: int) -> str:
    """hh:mm:ss.ttt"""
    minutes, rest_ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}"
