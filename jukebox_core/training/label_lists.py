"""Lists of artists and genres, made from the songs to train with; no torch."""

import re
from collections.abc import Iterable, Mapping, Sequence

from jukebox_core.config import LabelVersion
from jukebox_core.labels import UNKNOWN_ID, Vocabulary
from jukebox_core.training.manifest import UNKNOWN_NAME, ManifestEntry

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


def vocabulary_of(version: LabelVersion, songs: Sequence[ManifestEntry]) -> Vocabulary:
    """All artists and genres of the songs in alphabetical order, after "unknown" with id 0."""
    artists = {song.artist for song in songs}
    genres = {song.genre for song in songs}
    if version == "v3":
        return Vocabulary(version, _numbered(artists), _numbered(genres))
    words = {word for genre in genres for word in _words(genre)}
    return Vocabulary(
        version, _numbered("_".join(_words(name)) for name in artists), _numbered(words)
    )


def most_genre_ids(version: LabelVersion, songs: Sequence[ManifestEntry]) -> int:
    """How many ids the genre with the most words takes: one in v3, one for each word in v2."""
    if version == "v3":
        return 1
    return max(len(_words(song.genre)) for song in songs)


def kept_ids(old: Mapping[str, int], new: Mapping[str, int]) -> dict[int, int]:
    """From the id in a new list to the id in an old one, for names in both; the unknown always."""
    kept = {id_: old[name] for name, id_ in new.items() if name in old}
    return kept | {UNKNOWN_ID: UNKNOWN_ID}


def _words(name: str) -> list[str]:
    """The ASCII words by which lists of version v2 know a name."""
    return _NOT_ALPHANUMERIC.sub("_", name.lower()).strip("_").split("_")


def _numbered(names: Iterable[str]) -> dict[str, int]:
    known = sorted({name.lower() for name in names} - {UNKNOWN_NAME, ""})
    return {UNKNOWN_NAME: UNKNOWN_ID} | {name: id_ for id_, name in enumerate(known, start=1)}
