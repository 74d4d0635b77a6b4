"""Lists of artists and genres, made from the songs to train with; no torch."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from jukebox_core.config import JukeboxConfig, LabelVersion
from jukebox_core.errors import TrainingError
from jukebox_core.labels import UNKNOWN_ID, Vocabulary
from jukebox_core.training.dataset.manifest import UNKNOWN_NAME, ManifestEntry

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


def vocabulary_of(
    version: LabelVersion,
    songs: Sequence[ManifestEntry],
    *,
    artists: Collection[str] = (),
    genres: Collection[str] = (),
) -> Vocabulary:
    """All artists and genres of the songs in alphabetical order, after "unknown" with id 0.

    `artists` and `genres` get a place too, written as lists of this version have them.
    """
    song_artists = {song.artist for song in songs}
    song_genres = {song.genre for song in songs}
    if version == "v2":
        song_artists = {"_".join(_words(name)) for name in song_artists}
        song_genres = {word for genre in song_genres for word in _words(genre)}
    return Vocabulary(
        version, _numbered({*song_artists, *artists}), _numbered({*song_genres, *genres})
    )


def check_genres(config: JukeboxConfig, songs: Sequence[ManifestEntry]) -> None:
    """See that each prior can be told the genre of every song.

    Raises:
        TrainingError: a genre has more words than a prior reads.
    """
    for prior in config.priors:
        if prior.labels is None or prior.labels.version == "v3":
            continue
        for song in songs:
            num_words = len(_words(song.genre))
            if num_words > prior.labels.max_genres:
                raise TrainingError(
                    f"song {song.name}: the genre {song.genre!r} has {num_words} words, and the "
                    f"{prior.level.label} prior reads at most {prior.labels.max_genres}"
                )


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
