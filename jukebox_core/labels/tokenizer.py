"""`JukeboxTokenizer`: artist, genre and lyrics into the labels of three priors."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelConfig, LabelVersion
from jukebox_core.errors import ConfigError, LabelError
from jukebox_core.labels.labels import Labels, SongLabels
from jukebox_core.labels.lyrics import LyricAlphabet
from jukebox_core.labels.lyrics_text import LyricsFormat, read_lyrics
from jukebox_core.labels.raw_ids import ArtistId, GenreIds, RawIds
from jukebox_core.labels.vocabulary import UNKNOWN_ID, ResolvedName, Vocabulary
from jukebox_core.small_files import read_small_json

_LABELS_FOLDER = "labels"
_CONFIG_FILE = "config.json"


class JukeboxTokenizer:
    """Reads songs for the three priors of one model, each with the vocabulary it was trained on.

    `1b_lyrics` mixes v3 (top) with v2 (upsamplers), so one name may be known to one level and
    unknown to another: `resolve` tells.

    Raises:
        LabelError: a vocabulary is missing, or has ids that a prior has no embedding for.
    """

    def __init__(
        self, vocabularies: Mapping[LabelVersion, Vocabulary], config: JukeboxConfig
    ) -> None:
        self.config = config
        self.vocabularies = dict(vocabularies)
        self.alphabets = {version: LyricAlphabet(version) for version in self.vocabularies}
        for prior in config.priors:
            self._check_prior(prior)

    def _check_prior(self, prior: JukeboxPriorConfig) -> None:
        labels = prior.labels
        if labels is None:
            return
        if labels.version not in self.vocabularies:
            raise LabelError(
                f"the {prior.level.label} prior needs the {labels.version} label lists, "
                f"and there are lists for {sorted(self.vocabularies) or 'no version'}"
            )
        vocabulary = self.vocabularies[labels.version]
        largest = {
            "artist": (max(vocabulary.artists.values(), default=0), labels.num_artists),
            "genre": (max(vocabulary.genres.values(), default=0), labels.num_genres),
        }
        if prior.lyrics is not None:
            num_characters = self.alphabets[labels.version].num_characters
            largest["lyric"] = (num_characters - 1, prior.lyrics.num_characters)
        for kind, (id_, num_ids) in largest.items():
            if id_ >= num_ids:
                raise LabelError(
                    f"the {labels.version} lists have {kind} id {id_}, but the "
                    f"{prior.level.label} prior only knows ids below {num_ids}"
                )

    def __call__(
        self,
        artist: str | Sequence[str],
        genres: str | Sequence[str],
        lyrics: str | Sequence[str] = "",
        *,
        artist_id: ArtistId | None = None,
        genre_ids: GenreIds | None = None,
        lyrics_format: LyricsFormat = "plain",
    ) -> Labels:
        """Labels of one song, or of a batch; a single string serves every song of a batch.

        Several genres are words of one text for v2 (`"Blues, Rock"`).

        Args:
            artist: a name for each song.
            genres: a text for each song.
            lyrics: empty for an instrumental.
            artist_id: instead of all names; a mapping from label versions to ids where the model's
                priors read several (names stay in force for those left out).
            genre_ids: instead of all genres, likewise.
            lyrics_format: `plain` sings the text as it is; `auto`, `lrc`, `srt` and `vtt` leave out
                time stamps and marks such as `[Verse]`; `verbatim` also leaves line breaks as they
                are. See `read_lyrics`.

        Raises:
            LabelError: the sequences differ in length, a genre has too many words, or an id is
                none of the model.
        """
        asked = list(zip(*_broadcast(artist, genres, lyrics), strict=True))
        priors = self.config.priors
        raw = self._raw_ids(artist_id, genre_ids)
        songs = [(*names, read_lyrics(words, lyrics_format).text) for *names, words in asked]
        return Labels(
            songs=tuple(tuple(self._read(prior, raw, *song) for prior in priors) for song in songs),
            resolution=tuple(self._resolve(artist, genre, raw) for artist, genre, _ in songs),
            max_genres=tuple(_max_genres(prior) for prior in priors),
        )

    def _raw_ids(self, artist_id: ArtistId | None, genre_ids: GenreIds | None) -> RawIds:
        raw = RawIds(artist_id=artist_id, genre_ids=genre_ids)
        raw.check_versions(set(self.config.label_versions))
        return raw

    def _read(
        self, prior: JukeboxPriorConfig, raw: RawIds, artist: str, genre: str, lyrics: str
    ) -> SongLabels:
        if prior.labels is None:
            return SongLabels(artist_id=UNKNOWN_ID, genre_ids=())
        artist_name, genre_names = self._resolve_for(prior.labels, artist, genre, raw)
        alphabet = self.alphabets[prior.labels.version]
        return SongLabels(
            artist_id=artist_name.id,
            genre_ids=tuple(name.id for name in genre_names),
            lyric_ids=alphabet.encode(lyrics) if prior.lyrics is not None else (),
        )

    def lyrics_as_read(self, lyrics: str) -> str | None:
        """The characters of `lyrics` that the coarsest prior with lyrics reads; None without one.

        The text is taken as it is, see `read_lyrics` for what comes before.
        """
        alphabet = self.lyrics_alphabet
        return None if alphabet is None else alphabet.normalize(lyrics)

    @property
    def lyrics_alphabet(self) -> LyricAlphabet | None:
        """What the coarsest prior with lyrics reads them in; None without one."""
        for prior in self.config.priors:
            if prior.labels is not None and prior.lyrics is not None:
                return self.alphabets[prior.labels.version]
        return None

    def resolve(
        self,
        artist: str,
        genre: str,
        *,
        artist_id: ArtistId | None = None,
        genre_ids: GenreIds | None = None,
    ) -> dict[str, dict[str, Any]]:
        """What a name becomes at each level, JSON-ready; ids as in `__call__`.

        `{"top": {"version": "v3", "artist": {"name", "id", "known"}, "genres": [{...}]}, ...}`;
        `version` is None for a prior that was trained without labels.

        Raises:
            LabelError: the genre has more words than a prior reads, or an id is none of the model.
        """
        return self._resolve(artist, genre, self._raw_ids(artist_id, genre_ids))

    def _resolve(self, artist: str, genre: str, raw: RawIds) -> dict[str, dict[str, Any]]:
        return {
            prior.level.label: self._resolution(prior.labels, artist, genre, raw)
            for prior in self.config.priors
        }

    def _resolution(
        self, labels: LabelConfig | None, artist: str, genre: str, raw: RawIds
    ) -> dict[str, Any]:
        if labels is None:
            unheard = ResolvedName(name=artist, id=UNKNOWN_ID, known=False, matched=None)
            return {"version": None, "artist": _as_json(unheard), "genres": []}
        artist_name, genre_names = self._resolve_for(labels, artist, genre, raw)
        return {
            "version": labels.version,
            "artist": _as_json(artist_name),
            "genres": [_as_json(name) for name in genre_names],
        }

    def _resolve_for(
        self, labels: LabelConfig, artist: str, genre: str, raw: RawIds
    ) -> tuple[ResolvedName, tuple[ResolvedName, ...]]:
        vocabulary = self.vocabularies[labels.version]
        genres = raw.genres(labels, vocabulary)
        if genres is None:
            genres = vocabulary.resolve_genre(genre, labels.max_genres)
        return raw.artist(labels, vocabulary) or vocabulary.resolve_artist(artist), genres

    @classmethod
    def from_pretrained(cls, directory: Path | str) -> "JukeboxTokenizer":
        """Read `config.json` and the lists in `labels/` of a model directory.

        Raises:
            ConfigError: `config.json` is missing or is not this library's.
            LabelError: a list that a prior needs is missing or broken.
        """
        config = _read_config(Path(directory) / _CONFIG_FILE)
        return cls.from_directory(Path(directory) / _LABELS_FOLDER, config)

    @classmethod
    def from_directory(cls, labels_dir: Path | str, config: JukeboxConfig) -> "JukeboxTokenizer":
        """Read the lists that the priors of `config` need from a folder of label lists.

        Raises:
            LabelError: such a list is missing or broken.
        """
        versions = config.label_versions
        return cls({v: Vocabulary.from_directory(labels_dir, v) for v in versions}, config)

    def save_vocabulary(self, directory: Path | str) -> list[Path]:
        """Write all lists into `labels/` of a model directory, from which `from_pretrained` reads.

        A directory without `config.json` gets one; an existing one is left alone. Returns the
        paths of the lists.
        """
        folder = Path(directory) / _LABELS_FOLDER
        files = [
            file for vocabulary in self.vocabularies.values() for file in vocabulary.save(folder)
        ]
        config_file = Path(directory) / _CONFIG_FILE
        if not config_file.exists():
            values = {"format": "jukebox", "format_version": 1, "config": self.config.to_dict()}
            config_file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        return files


def _as_json(name: ResolvedName) -> dict[str, Any]:
    return {"name": name.name, "id": name.id, "known": name.known}


def _max_genres(prior: JukeboxPriorConfig) -> int:
    return prior.labels.max_genres if prior.labels is not None else 0


def _broadcast(*columns: str | Sequence[str]) -> list[list[str]]:
    lengths = {len(column) for column in columns if not isinstance(column, str)}
    if len(lengths) > 1:
        raise LabelError(
            f"artists, genres and lyrics have {sorted(lengths)} entries: give one for each song, "
            "or a single string for all"
        )
    num_songs = lengths.pop() if lengths else 1
    return [[column] * num_songs if isinstance(column, str) else list(column) for column in columns]


def _read_config(file: Path) -> JukeboxConfig:
    try:
        values = read_small_json(file)
    except FileNotFoundError:
        raise ConfigError(
            f"cannot read {file}, which is not there: give the folder of a model on this machine. "
            "`jukebox models pull` fetches the released ones"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format") != "jukebox" or "config" not in values:
        raise ConfigError(
            f'{file} is not a model of this library: it lacks "format": "jukebox" or "config"; '
            "directories of transformers give their tokenizer through JukeboxModel.from_pretrained"
        )
    return JukeboxConfig.from_dict(values["config"])
