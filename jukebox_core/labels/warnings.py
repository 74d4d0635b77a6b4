"""What somebody may not have meant by a name or by lyrics, in sentences; nothing is refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jukebox_core.labels.lyrics_text import LyricsFormat, read_lyrics
from jukebox_core.labels.search import LabelSearch, NameMatch
from jukebox_core.labels.tokenizer import JukeboxTokenizer

_IS_SUGGESTED = 0.75
"""Names less alike than this are nothing that somebody misspelt."""

_NUM_SUGGESTIONS = 3
_MAX_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelWarning:
    """A stable code, the field that it is about (`artist`, `genre` or `lyrics`), a sentence."""

    code: str
    field: str
    message: str


def lyrics_warnings(
    tokenizer: JukeboxTokenizer | None, lyrics: str, lyrics_format: LyricsFormat
) -> Iterator[LabelWarning]:
    """What is left out of `lyrics`, and whether anything is left to sing.

    `tokenizer` is None for a model without label lists.

    Raises:
        LabelError: the lyrics cannot be read, see `read_lyrics`.
    """
    if not lyrics:
        return
    read = read_lyrics(lyrics, lyrics_format)
    found = [_counted(read.num_times, f"{read.format.upper()} time")] if read.num_times else []
    if read.marks:
        found.append(f"{_counted(len(read.marks), 'mark')} such as {_shown(read.marks[0])}")
    if found:
        yield _about_lyrics(
            "lyrics_marks_removed",
            f"{' and '.join(found)} will not be sung; the format `plain` sings the text whole",
        )
    elif lyrics_format in ("lrc", "srt", "vtt"):
        yield _about_lyrics(
            "lyrics_format_not_found", f"there are no {lyrics_format.upper()} times in this text"
        )
    text = None if tokenizer is None else tokenizer.lyrics_as_read(read.text)
    if text is None:
        yield _about_lyrics("lyrics_not_read", "this model reads no lyrics")
    elif not text.strip():
        yield _about_lyrics(
            "lyrics_not_singable",
            "the model can read nothing of this text: nothing of it will be sung",
        )


def name_warnings(
    resolution: Mapping[str, Any], artist: str, genre: str, search: Callable[[], LabelSearch]
) -> Iterator[LabelWarning]:
    """Names that a level does not know, with those that may have been meant.

    `resolution` is what `JukeboxTokenizer.resolve` says of the coarsest level that is drawn: the
    finer ones only refine it. `search` is called when there is something to look for. An empty
    name was left out on purpose.
    """
    if not resolution.get("version"):
        return
    find: Mapping[str, Callable[[], list[NameMatch]]] = {
        "artist": lambda: search().artists(artist, _NUM_SUGGESTIONS),
        "genre": lambda: search().genres(genre, _NUM_SUGGESTIONS),
    }
    for kind, asked, names in (
        ("artist", artist, [resolution["artist"]]),
        ("genre", genre, resolution["genres"]),
    ):
        unknown = _unknown(names) if asked.strip() else ""
        if unknown:
            yield LabelWarning(
                code=f"{kind}_unknown",
                field=kind,
                message=f"the model does not know {unknown}, which will be sung as unknown"
                + _did_you_mean(find[kind]()),
            )


def _about_lyrics(code: str, message: str) -> LabelWarning:
    return LabelWarning(code=code, field="lyrics", message=message)


def _unknown(names: Sequence[Mapping[str, Any]]) -> str:
    unknown = [n["name"] for n in names if not n["known"] and n["name"].lower() != "unknown"]
    return ", ".join(map(_shown, unknown))


def _did_you_mean(matches: Sequence[NameMatch]) -> str:
    names = [match.name for match in matches if match.score >= _IS_SUGGESTED]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")
