"""The list of songs in a folder of training data: `songs.json` or `songs.csv`; no torch.

Each song has

    file      its sound, relative to the folder
    artist    names, as the model's users will ask for them; "unknown" when absent
    genre
    lyrics    the words that are sung, or the name of a .txt file; empty for an instrumental
    held_out  whether it is kept from training, to measure with; absent everywhere: about 2 % are
    character_start_sec, character_end_sec
              when each character of the lyrics is sung, null for one that is not (JSON only)
    bar_start_sec
              when each bar begins (JSON only)
    notes     the melody: [start_sec, end_sec, midi, ...] each (JSON only)
    chords    [start_sec, end_sec, [pitch classes 0 to 11, the bass first]] each (JSON only)

Other fields are left aside.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jukebox_core.errors import LabelError, TrainingError
from jukebox_core.labels import decode_text, normalize_line_breaks

JSON_FILE = "songs.json"
CSV_FILE = "songs.csv"
UNKNOWN_NAME = "unknown"
HELD_OUT_SHARE = 0.02

_HIGHEST_MIDI = 127
_NUM_PITCH_CLASSES = 12

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, eq=False)
class CharacterTimes:
    """When each character of the lyrics is sung, in seconds: float64 [characters] each.

    Both are nan for a character that is not sung, such as a space.
    """

    start_sec: NDArray[np.float64]
    end_sec: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Melody:
    """Notes of one voice: when each sounds, and its pitch as a MIDI number (60 is middle C).

    float64 [notes] each.
    """

    start_sec: NDArray[np.float64]
    end_sec: NDArray[np.float64]
    midi: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Chords:
    """Chords: when each sounds (float64 [chords]), and what it is made of.

    bass     int64 [chords], the pitch class of its lowest tone, 0 (C) to 11
    members  bool [chords, 12], the pitch classes that it holds
    """

    start_sec: NDArray[np.float64]
    end_sec: NDArray[np.float64]
    bass: NDArray[np.int64]
    members: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ManifestEntry:
    """One song of the list; `file` is a path that can be opened, `name` as the list gives it."""

    name: str
    file: Path
    artist: str
    genre: str
    lyrics: str
    held_out: bool
    character_times: CharacterTimes | None = None
    bar_start_sec: NDArray[np.float64] | None = None
    melody: Melody | None = None
    chords: Chords | None = None


def read_manifest(directory: Path) -> tuple[ManifestEntry, ...]:
    """The songs of a folder of training data, in the order of its list.

    Raises:
        TrainingError: there is no list or an empty one, or a row of it is at fault; the message
            names the row, counted from 1.
    """
    rows = tuple(_read_rows(directory))
    if not rows:
        raise TrainingError(f"the list of songs in {directory} is empty")
    entries = [_entry(directory, row, where) for row, where in rows]
    _refuse_doubles(entries, [where for _, where in rows])
    if any("held_out" in row and row["held_out"] not in (None, "") for row, _ in rows):
        return tuple(entries)
    return _with_held_out(entries)


def _read_rows(directory: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each row, and what to call it in a message."""
    json_file, csv_file = directory / JSON_FILE, directory / CSV_FILE
    if json_file.is_file():
        values = _read_json(json_file)
        for number, value in enumerate(values, start=1):
            where = f"{json_file}, song {number}"
            if not isinstance(value, dict):
                raise TrainingError(f"{where}: wanted an object, found {type(value).__name__}")
            yield value, where
    elif csv_file.is_file():
        lines = io.StringIO(_read_list(csv_file), newline="")
        for number, row in enumerate(csv.DictReader(lines), start=1):
            where = f"{csv_file}, song {number}"
            if None in row or None in row.values():
                raise TrainingError(f"{where}: has not as many columns as the first line")
            yield row, where
    else:
        raise TrainingError(
            f"{directory} has neither {JSON_FILE} nor {CSV_FILE}: list the songs in one of them, "
            "with the columns file, artist, genre, lyrics"
        )


def _read_list(file: Path) -> str:
    try:
        return decode_text(file.read_bytes(), file.name)
    except LabelError as error:
        raise TrainingError(str(error)) from error


def _read_json(file: Path) -> list[Any]:
    try:
        values = json.loads(_read_list(file))
    except ValueError as error:
        raise TrainingError(f"{file} is not JSON: {error}") from error
    if not isinstance(values, list):
        raise TrainingError(f"{file} holds a {type(values).__name__}, not a list of songs")
    return values


def _entry(directory: Path, row: Mapping[str, Any], where: str) -> ManifestEntry:
    name = _text(row, "file", where)
    if not name:
        raise TrainingError(f"{where}: names no file")
    file = directory / name
    if not file.is_file():
        raise TrainingError(f"{where}: there is no file {file}")
    lyrics = _lyrics(directory, row, where)
    return ManifestEntry(
        name=name,
        file=file,
        artist=_text(row, "artist", where).strip() or UNKNOWN_NAME,
        genre=_text(row, "genre", where).strip() or UNKNOWN_NAME,
        lyrics=lyrics,
        held_out=_held_out(row, where),
        character_times=_character_times(row, len(lyrics), where),
        bar_start_sec=_bar_starts(row, where),
        melody=_melody(row, where),
        chords=_chords(row, where),
    )


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TrainingError(f"{where}: {field} should be text, and is {value!r}")
    return value


def _lyrics(directory: Path, row: Mapping[str, Any], where: str) -> str:
    text = _text(row, "lyrics", where)
    if not text.endswith(".txt") or "\n" in text:
        # Times count the characters as they are written.
        has_times = row.get("character_start_sec") is not None
        return text if has_times else normalize_line_breaks(text)
    try:
        return normalize_line_breaks(decode_text((directory / text).read_bytes(), text))
    except (OSError, LabelError) as error:
        raise TrainingError(f"{where}: cannot read the lyrics in {text}: {error}") from error


def _held_out(row: Mapping[str, Any], where: str) -> bool:
    value = row.get("held_out")
    if value is None or value == "":
        return False
    if isinstance(value, bool):
        return value
    known = _BOOLEANS.get(str(value).strip().lower())
    if known is None:
        raise TrainingError(f"{where}: held_out should be true or false, and is {value!r}")
    return known


def _character_times(
    row: Mapping[str, Any], num_characters: int, where: str
) -> CharacterTimes | None:
    given = [row.get("character_start_sec"), row.get("character_end_sec")]
    if all(value is None for value in given):
        return None
    columns = []
    for value in given:
        if not isinstance(value, list) or len(value) != num_characters:
            found = f"{len(value)} entries" if isinstance(value, list) else repr(value)
            raise TrainingError(
                f"{where}: character_start_sec and character_end_sec need a list with one entry "
                f"for each of the {num_characters} characters of the lyrics, found {found}"
            )
        try:
            columns.append(np.array([np.nan if t is None else t for t in value], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{where}: character times are seconds or null: {error}") from error
    start_sec, end_sec = columns
    if np.any(np.isnan(start_sec) != np.isnan(end_sec)) or np.any(end_sec < start_sec):
        raise TrainingError(f"{where}: a character ends before it starts, or has one time only")
    return CharacterTimes(start_sec, end_sec)


def _bar_starts(row: Mapping[str, Any], where: str) -> NDArray[np.float64] | None:
    given = row.get("bar_start_sec")
    if given is None:
        return None
    try:
        starts_sec = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{where}: bar_start_sec is a list of seconds: {error}") from error
    if starts_sec.ndim != 1 or not np.all(np.diff(starts_sec) > 0):
        raise TrainingError(f"{where}: bar_start_sec is a list of seconds, each after the last")
    return starts_sec


def _melody(row: Mapping[str, Any], where: str) -> Melody | None:
    given = row.get("notes")
    if given is None:
        return None
    try:
        columns = np.array([note[:3] for note in given], dtype=np.float64).reshape(len(given), 3)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{where}: a note is [start_sec, end_sec, midi, ...]") from error
    start_sec, end_sec, midi = columns.T
    _check_spans(start_sec, end_sec, f"{where}: notes")
    if not np.all((midi >= 0) & (midi <= _HIGHEST_MIDI)):
        raise TrainingError(f"{where}: the pitch of a note is a MIDI number, 0 to {_HIGHEST_MIDI}")
    return Melody(start_sec, end_sec, midi)


def _chords(row: Mapping[str, Any], where: str) -> Chords | None:
    given = row.get("chords")
    if given is None:
        return None
    wrong = f"{where}: a chord is [start_sec, end_sec, [pitch classes 0 to 11, the bass first]]"
    try:
        spans = np.array([chord[:2] for chord in given], dtype=np.float64).reshape(len(given), 2)
        classes = [np.array(chord[2]).reshape(-1) for chord in given]
    except (TypeError, ValueError, IndexError) as error:
        raise TrainingError(wrong) from error
    members = np.zeros((len(given), _NUM_PITCH_CLASSES), dtype=np.bool_)
    for row_members, of_chord in zip(members, classes, strict=True):
        is_integer = np.issubdtype(of_chord.dtype, np.integer)
        if not (is_integer and np.all((of_chord >= 0) & (of_chord < _NUM_PITCH_CLASSES))):
            raise TrainingError(wrong)
        row_members[of_chord] = True
    if not all(len(of_chord) for of_chord in classes):
        raise TrainingError(wrong)
    start_sec, end_sec = spans.T
    _check_spans(start_sec, end_sec, f"{where}: chords")
    bass = np.array([of_chord[0] for of_chord in classes], dtype=np.int64)
    return Chords(start_sec, end_sec, bass, members)


def _check_spans(start_sec: NDArray[np.float64], end_sec: NDArray[np.float64], what: str) -> None:
    is_span = np.isfinite(start_sec) & np.isfinite(end_sec) & (end_sec >= start_sec)
    if not is_span.all() or np.any(np.diff(start_sec) < 0):
        raise TrainingError(f"{what} are listed in order of time, each with its start and its end")


def _refuse_doubles(entries: list[ManifestEntry], places: list[str]) -> None:
    seen: dict[str, str] = {}
    for entry, where in zip(entries, places, strict=True):
        if entry.name in seen:
            raise TrainingError(f"{where}: {entry.name} is the file of {seen[entry.name]} already")
        seen[entry.name] = where


def _with_held_out(entries: list[ManifestEntry]) -> tuple[ManifestEntry, ...]:
    """Keep back the songs whose names hash lowest: the choice survives a longer list."""
    places = [_hash_place(entry.name) for entry in entries]
    # Of a short list one song, so that there is something to measure with; of one song, none.
    limit = max(HELD_OUT_SHARE, min(places)) if len(entries) > 1 else 0.0
    return tuple(
        replace(entry, held_out=place <= limit)
        for entry, place in zip(entries, places, strict=True)
    )


def _hash_place(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
