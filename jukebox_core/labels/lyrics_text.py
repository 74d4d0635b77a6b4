"""Lyrics as people have them: line breaks of any system, time stamps, marks such as `[Verse]`.

This is done once, where text comes in, before the model's own alphabet (`lyrics.py`) sees it:

* Every line break (CR LF, CR, VT, FF, NEL, U+2028, U+2029) is one `\\n`.
* Time stamps go: `[00:12.00]` and `<00:12.00>` of LRC, the cue numbers, times and tags of SRT and
  WebVTT. A line of LRC with several times is sung once for each, in the order of the times.
* A line of nothing but square brackets (`[Chorus x2]`, `[ti:A title]`) is a mark and goes. In
  front of words, brackets go only when they name a section: `[Verse 2] Hello`.

Text without any of this is not changed. All of it takes time linear in the length of the text.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jukebox_core.errors import LabelError

LyricsFormat = Literal["auto", "plain", "lrc", "srt", "vtt", "verbatim"]
"""`plain` changes line breaks alone, and `verbatim` nothing: there the alphabet drops CR, VT, FF
and NEL, as the original does. `auto` finds out which of the others a text is."""

MAX_REPEATED_CHARACTERS = 20_000
"""Lyrics with lines that are sung several times may not become longer than this."""

_LINE_BREAK = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_TIME = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:[.,:]\d{1,3})?"
_LRC_STAMP = re.compile(rf"\[ {{0,3}}({_TIME}) {{0,3}}\]")
_LRC_WORD_STAMP = re.compile(rf"<{_TIME}>|\[{_TIME}\]")
_CUE_TIMES = re.compile(rf"{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?")
_CUE_TAG = re.compile(rf"</?[A-Za-z][^<>]*>|<{_TIME}>|\{{\\[^{{}}]*\}}")
_VTT_BLOCKS_UNSUNG = ("WEBVTT", "NOTE", "STYLE", "REGION")
_BRACKETS_ALONE = re.compile(
    r"\[[^\[\]]*\](?:[ \t]*\[[^\[\]]*\])*[ \t]*(?::|\(?(?:x ?\d{1,2}|\d{1,2} ?x)\)?)?",
    re.IGNORECASE,
)
_SECTIONS = {
    *("verse", "chorus", "prechorus", "postchorus", "refrain", "hook", "bridge", "intro", "outro"),
    *("interlude", "instrumental", "solo", "breakdown", "coda"),
}
_MAX_SECTION_NAME = 80


@dataclass(frozen=True, slots=True)
class LyricsText:
    """What is sung of a text, and what was found in it.

    `format` is what the text was read as, never `auto`. `num_times` counts the time stamps (cues,
    for SRT and WebVTT) and `marks` holds the brackets that were left out.
    """

    text: str
    format: LyricsFormat
    num_times: int = 0
    marks: tuple[str, ...] = ()


def normalize_line_breaks(text: str) -> str:
    """`text` with `\\n` for every kind of line break."""
    return _LINE_BREAK.sub("\n", text)


def read_lyrics(text: str, lyrics_format: LyricsFormat = "auto") -> LyricsText:
    """What is sung of `text`, see the rule at the top of this file.

    Raises:
        LabelError: there is no such format, or lines with several times make a text longer than
            `MAX_REPEATED_CHARACTERS`.
    """
    if lyrics_format not in get_args(LyricsFormat):
        known = ", ".join(get_args(LyricsFormat))
        raise LabelError(f"lyrics_format {lyrics_format!r} is unknown: use one of {known}")
    if lyrics_format == "verbatim":
        return LyricsText(text, "verbatim")
    text = normalize_line_breaks(text.removeprefix("\ufeff"))
    if lyrics_format == "plain":
        return LyricsText(text, "plain")
    lines = text.split("\n")
    found = _format_of(lines) if lyrics_format == "auto" else lyrics_format
    num_times = 0
    if found in ("srt", "vtt"):
        lines, num_times = _without_cues(lines)
    elif found == "lrc":
        lines, num_times = _without_stamps(lines)
    lines, marks = _without_marks(lines)
    if not num_times and not marks:
        return LyricsText(text, found)
    return LyricsText(_tidy(lines), found, num_times, tuple(marks))


def decode_text(content: bytes, name: str) -> str:
    """The text of a file called `name`, in UTF-8 with or without a byte order mark.

    Raises:
        LabelError: it has another encoding; the message says how to convert it.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise LabelError(
            f"{name} is not UTF-8: it looks like UTF-16. Save it as UTF-8 in your editor, or run "
            f"`iconv -f UTF-16 -t UTF-8`"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise LabelError(
            f"{name} is not UTF-8: line {line} has the byte 0x{content[error.start]:02X}. Save it "
            "as UTF-8 in your editor, or convert it: `iconv -f CP1252 -t UTF-8` if it comes from "
            "Windows, otherwise with the name of its encoding"
        ) from None


def _format_of(lines: Sequence[str]) -> LyricsFormat:
    if any(_CUE_TIMES.fullmatch(line.strip()) for line in lines):
        return "vtt" if _is_vtt(lines) else "srt"
    return "lrc" if any(_LRC_STAMP.match(line.lstrip()) for line in lines) else "plain"


def _is_vtt(lines: Sequence[str]) -> bool:
    return next((line for line in lines if line.strip()), "").startswith("WEBVTT")


def _without_cues(lines: Sequence[str]) -> tuple[list[str], int]:
    """The text of SRT or WebVTT, and the number of cues; blank lines only divide cues there."""
    is_vtt = _is_vtt(lines)
    kept: list[str] = []
    num_cues = 0
    begins_block, is_skipped, may_be_id = True, False, False
    for line in map(str.strip, lines):
        if _CUE_TIMES.fullmatch(line):
            if may_be_id:
                kept.pop()
            num_cues += 1
            begins_block = is_skipped = may_be_id = False
            continue
        if begins_block:
            is_skipped = is_vtt and line.partition(" ")[0] in _VTT_BLOCKS_UNSUNG
        may_be_id = bool(line) and not is_skipped and (begins_block or line.isdecimal())
        begins_block = not line
        if line and not is_skipped:
            kept.append(line)
    return [html.unescape(_CUE_TAG.sub("", line)) for line in kept], num_cues


def _without_stamps(lines: Sequence[str]) -> tuple[list[str], int]:
    """The text of LRC, and the number of times before its lines."""
    timed: list[tuple[float, str]] = []
    num_times, has_repeats, last_sec = 0, False, 0.0
    for line in lines:
        times_sec, words = _split_stamps(line)
        num_times += len(times_sec)
        has_repeats = has_repeats or len(times_sec) > 1
        # A line without a time stays behind the one before it.
        for time_sec in times_sec or [last_sec]:
            timed.append((time_sec, words))
            last_sec = time_sec
    if has_repeats:
        num_characters = sum(len(words) + 1 for _, words in timed)
        if num_characters > MAX_REPEATED_CHARACTERS:
            raise LabelError(
                f"with every line written as often as it is sung, the lyrics have "
                f"{num_characters:,} characters; at most {MAX_REPEATED_CHARACTERS:,} are read"
            )
        timed.sort(key=lambda line: line[0])
    return [words for _, words in timed], num_times


def _split_stamps(line: str) -> tuple[list[float], str]:
    times_sec = []
    place = 0
    while stamp := _LRC_STAMP.match(line, place + _num_blanks(line, place)):
        times_sec.append(_seconds(stamp[1]))
        place = stamp.end()
    words = line[place:]
    stripped = _LRC_WORD_STAMP.sub("", words)
    return times_sec, stripped.strip() if times_sec or stripped != words else line


def _num_blanks(line: str, place: int) -> int:
    return len(line[place : place + 4]) - len(line[place : place + 4].lstrip(" \t"))


def _seconds(stamp: str) -> float:
    """Of `mm:ss`, `mm:ss.xx`, `mm:ss:xx` or `hh:mm:ss.xx`."""
    whole, _, fraction = stamp.replace(",", ".").partition(".")
    numbers = [int(number) for number in whole.split(":")]
    if len(numbers) == 3 and not fraction:
        # Some programs write mm:ss:xx.
        return numbers[0] * 60.0 + numbers[1] + numbers[2] / 100.0
    total_sec = 0.0
    for number in numbers:
        total_sec = total_sec * 60.0 + number
    return total_sec + (float(f"0.{fraction}") if fraction else 0.0)


def _without_marks(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    kept, marks = [], []
    for line in lines:
        mark, words = _split_mark(line)
        if mark:
            marks.append(mark)
        if words or not mark:
            kept.append(words)
    return kept, marks


def _split_mark(line: str) -> tuple[str, str]:
    """The brackets before the words, empty if there is no mark, and the words."""
    text = line.strip()
    if not text.startswith("["):
        return "", line
    if _BRACKETS_ALONE.fullmatch(text):
        return text, ""
    name, closed, _ = text[1 : _MAX_SECTION_NAME + 2].partition("]")
    sections = re.findall("[a-z]+", name.lower().replace("-", ""))
    if closed and not _SECTIONS.isdisjoint(sections):
        return f"[{name}]", text[len(name) + 2 :].lstrip(" \t:")
    return "", line


def _tidy(lines: Sequence[str]) -> str:
    """Where something was taken out, no more than one blank line stays, and none at the ends."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return "\n".join(kept).strip("\n") if kept else ""
