"""Names of artists and genres, and their ids.

The released models know two sets of names. v2 (`5b`, `5b_lyrics` and every upsampler) reduces a
name to ASCII words joined by underscores and reads a genre as a bag of words; v3 (`1b_lyrics`)
compares whole lower-case names. The rules are those of `artist_genre_processor.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jukebox_core.config import LabelVersion
from jukebox_core.errors import LabelError
from jukebox_core.small_files import read_small_text

UNKNOWN_ID = 0
"""The id that stands for every artist or genre a model has not met."""

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """What one name became.

    `name` is what was asked for (one word of it, for a v2 genre) and `matched` the entry of the
    list that it met. `known` is False when the model hears "somebody" or "something" instead:
    then `id` is `UNKNOWN_ID`, whatever the list calls that id.
    """

    name: str
    id: int
    known: bool
    matched: str | None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The artists and genres of one label version.

    Names are kept in lower case. Several names may share an id.

    Raises:
        LabelError: an id is negative.
    """

    version: LabelVersion
    artists: Mapping[str, int]
    genres: Mapping[str, int]

    def __post_init__(self) -> None:
        for field in ("artists", "genres"):
            names = {name.lower(): int(id_) for name, id_ in getattr(self, field).items()}
            negative = [name for name, id_ in names.items() if id_ < 0]
            if negative:
                raise LabelError(f"{self.version} {field} have negative ids: {negative}")
            object.__setattr__(self, field, names)

    @classmethod
    def from_directory(cls, path: Path | str, version: LabelVersion) -> "Vocabulary":
        """Read `{version}_artist_ids.txt` and `{version}_genre_ids.txt`.

        Each line is `name;id` in UTF-8. Where a name stands twice the last line counts, as in the
        original: the released v3 list has such a name.

        Raises:
            LabelError: a file is missing, is not UTF-8, or has a line of another shape.
        """
        artist_file, genre_file = _list_files(Path(path), version)
        return cls(version, _read_ids(artist_file), _read_ids(genre_file))

    def save(self, path: Path | str) -> list[Path]:
        """Write the two lists into the directory `path` and return their paths.

        Raises:
            LabelError: a name holds a line break, which the format cannot carry.
        """
        files = _list_files(Path(path), self.version)
        for file, ids in zip(files, (self.artists, self.genres), strict=True):
            _write_ids(file, ids)
        return list(files)

    def resolve_artist(self, name: str) -> ResolvedName:
        """The id of an artist; `UNKNOWN_ID` for one who is not in the list."""
        key = _underscored(name) if self.version == "v2" else name.lower()
        return _resolve(name, key, self.artists)

    def resolve_genre(self, text: str, max_genres: int) -> tuple[ResolvedName, ...]:
        """The ids of a genre: one for each word in v2, one for the whole text in v3.

        A word outside the list counts as `UNKNOWN_ID`, which the model adds like any other. Empty
        text is one unknown genre.

        Raises:
            LabelError: v2 text has more than `max_genres` words.
        """
        if self.version == "v3":
            return (_resolve(text, text.lower(), self.genres),)
        words = _underscored(text).split("_")
        if len(words) > max_genres:
            raise LabelError(
                f"genre {text!r} has {len(words)} words and this model reads at most "
                f"{max_genres}: keep the {max_genres} that matter most, for example "
                f"{' '.join(words[:max_genres])!r}"
            )
        return tuple(_resolve(word, word, self.genres) for word in words)


def _underscored(name: str) -> str:
    # ASCII on purpose: the v2 lists were made this way, so `Beyoncé` is found as `beyonc`.
    return _NOT_ALPHANUMERIC.sub("_", name.lower()).strip("_")


def _resolve(name: str, key: str, ids: Mapping[str, int]) -> ResolvedName:
    id_ = ids.get(key, UNKNOWN_ID)
    # The lists name id 0 too ("unknown", and in v2 the empty name, to which every name in a
    # non-Latin script shrinks): that is no recognition.
    known = id_ != UNKNOWN_ID
    return ResolvedName(name=name, id=id_, known=known, matched=key if known else None)


def _list_files(directory: Path, version: LabelVersion) -> tuple[Path, Path]:
    return directory / f"{version}_artist_ids.txt", directory / f"{version}_genre_ids.txt"


def _read_ids(file: Path) -> dict[str, int]:
    try:
        text = read_small_text(file)
    except OSError as error:
        raise LabelError(f"cannot read the label list {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"the label list {file} is not UTF-8 (byte {error.start})") from error
    ids: dict[str, int] = {}
    # Not splitlines: it would also break at U+2028 and its kin, which may be part of a name.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, _, id_ = line.rpartition(";")
        try:
            ids[name.lower()] = int(id_)
        except ValueError:
            raise LabelError(f"{file}, line {number}: wanted `name;id`, found {line!r}") from None
    return ids


def _write_ids(file: Path, ids: Mapping[str, int]) -> None:
    broken = [name for name in ids if "\n" in name or "\r" in name]
    if broken:
        raise LabelError(f"names with line breaks cannot be saved: {broken}")
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name};{id_}\n" for name, id_ in ids.items())
    file.write_text(lines, encoding="utf-8", newline="\n")
