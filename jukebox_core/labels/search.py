"""Finding artists and genres in the lists of a model by what somebody typed, spelt right or not."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from rapidfuzz import fuzz, process
from unidecode import unidecode

from jukebox_core.config import LabelConfig, LabelVersion
from jukebox_core.errors import LabelError
from jukebox_core.labels.tokenizer import JukeboxTokenizer
from jukebox_core.labels.vocabulary import UNKNOWN_ID, ResolvedName, Vocabulary

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")

_WORTH_TELLING = 0.6
"""A name that is less alike than this is no answer."""

_WORD_OF_TEXT = 0.8
"""What a match of one word counts when several were asked for."""


@dataclass(frozen=True, slots=True)
class NameMatch:
    """A name that a model knows.

    `name` may be sent as it is; `ids` says for each level (`"top"`, ...) what it resolves to: one
    id, several for a genre that v2 reads word by word, none where that level does not know it.
    `score` is 1 for the name itself, less for names like it.
    """

    name: str
    ids: Mapping[str, tuple[int, ...]]
    score: float


class NameIndex:
    """Names to be found by similarity; they are kept in the given order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._words = [_words(name) for name in self.names]
        self._without_article = {
            place: words.removeprefix("the ")
            for place, words in enumerate(self._words)
            if words.startswith("the ")
        }

    def search(self, text: str, limit: int) -> list[tuple[str, float]]:
        """The names most like `text` with their scores, best first; all names if it is empty.

        A text without letters and digits (an emoji, say) is like no name but itself.
        """
        wanted = _words(text)
        if not wanted:
            asked = text.strip()
            alike = (name for name in self.names if not asked or name == asked)
            return [(name, 1.0) for name in islice(alike, limit)]
        scores = _likenesses(wanted, self._words)
        for place, ratio in _likenesses(wanted, self._without_article).items():
            scores[place] = max(scores.get(place, 0.0), 0.98 * ratio)
        for place, words in enumerate(self._words):
            if wanted in words:
                scores[place] = max(scores.get(place, 0.0), _score_of_part(wanted, words))
        best = sorted(scores, key=lambda place: (-scores[place], self.names[place]))
        return [
            (self.names[place], round(scores[place], 3))
            for place in best[:limit]
            if scores[place] >= _WORTH_TELLING
        ]


def _likenesses(wanted: str, choices: Sequence[str] | Mapping[int, str]) -> dict[int, float]:
    """Places of the texts that are worth telling, each with 0 to 1 by the letters in common.

    Only equal texts reach 1. Others stay below names that hold the text as it stands, unless only
    a letter is amiss.
    """
    found = process.extract(
        wanted, choices, scorer=fuzz.ratio, limit=None, score_cutoff=100 * _WORTH_TELLING
    )
    return {place: 1.0 if ratio == 100.0 else 0.0099 * ratio for _, ratio, place in found}


def _score_of_part(wanted: str, words: str) -> float:
    """Of a name that begins with the text, or has a word that does; 0 for neither."""
    share = 0.09 * len(wanted) / len(words)
    if words.startswith(wanted):
        return 0.9 + share
    return 0.8 + share if f" {wanted}" in words else 0.0


class LabelSearch:
    """The artists and genres of one model, over the label lists of all its priors.

    A name that both versions know is told once, in the spelling of v3, which v2 reads as well.
    """

    def __init__(self, tokenizer: JukeboxTokenizer) -> None:
        self._tokenizer = tokenizer
        vocabularies = tokenizer.vocabularies
        self._artists = NameIndex(_spellings(vocabularies, "artists"))
        self._genres = NameIndex(_spellings(vocabularies, "genres"))

    def artists(self, text: str, limit: int) -> list[NameMatch]:
        """The artists most like `text`, best first; the first of all artists if it is empty."""
        found = self._artists.search(text, limit)
        matches = (self._match(name, score, _resolve_artist) for name, score in found)
        return [match for match in matches if match is not None]

    def genres(self, text: str, limit: int) -> list[NameMatch]:
        """The genres most like `text`, and, since v2 reads genres word by word, like its words."""
        scores = dict(self._genres.search(text, limit))
        words = text.split()
        for word in words if len(words) > 1 else ():
            for name, score in self._genres.search(word, limit):
                scores[name] = max(scores.get(name, 0.0), score * _WORD_OF_TEXT)
        best = sorted(scores.items(), key=lambda found: (-found[1], found[0]))
        matches = (self._match(name, score, _resolve_genre) for name, score in best[:limit])
        return [match for match in matches if match is not None]

    def _match(self, name: str, score: float, resolve: "_Resolve") -> NameMatch | None:
        """None for a name that cannot be sent: a genre of more words than a prior reads."""
        try:
            ids = {
                prior.level.label: _known_ids(
                    resolve(self._tokenizer.vocabularies[prior.labels.version], name, prior.labels)
                )
                for prior in self._tokenizer.config.priors
                if prior.labels is not None
            }
        except LabelError:
            return None
        return NameMatch(name=name, ids=ids, score=round(score, 3))


_Resolve = Callable[[Vocabulary, str, LabelConfig], Sequence[ResolvedName]]


def _resolve_artist(vocabulary: Vocabulary, name: str, _: LabelConfig) -> Sequence[ResolvedName]:
    return [vocabulary.resolve_artist(name)]


def _resolve_genre(
    vocabulary: Vocabulary, name: str, labels: LabelConfig
) -> Sequence[ResolvedName]:
    return vocabulary.resolve_genre(name, labels.max_genres)


def _known_ids(resolved: Sequence[ResolvedName]) -> tuple[int, ...]:
    return tuple(name.id for name in resolved) if any(name.known for name in resolved) else ()


def _spellings(
    vocabularies: Mapping[LabelVersion, Vocabulary], kind: Literal["artists", "genres"]
) -> list[str]:
    """Every name once, as it may be sent, in alphabetical order.

    Left out are the names for "unknown", and the few of v2 that no spelling leads to, because they
    end in the underscore that v2 takes away from whatever it is asked for.
    """
    names: set[str] = set()
    if "v3" in vocabularies:
        known = getattr(vocabularies["v3"], kind)
        names.update(name for name, id_ in known.items() if id_ != UNKNOWN_ID)
    if "v2" in vocabularies:
        told = {_v2_key(vocabularies["v2"], kind, name) for name in names}
        spelled = {key: key.replace("_", " ") for key in getattr(vocabularies["v2"], kind)}
        names.update(
            name
            for key, name in spelled.items()
            if key not in told and _v2_key(vocabularies["v2"], kind, name) == key
        )
    return sorted(names)


def _v2_key(vocabulary: Vocabulary, kind: Literal["artists", "genres"], name: str) -> str | None:
    """The entry of v2 that a name leads to, if it is exactly one."""
    if kind == "artists":
        return vocabulary.resolve_artist(name).matched
    resolved = vocabulary.resolve_genre(name, max_genres=len(name) + 1)
    return resolved[0].matched if len(resolved) == 1 else None


def _words(name: str) -> str:
    """Lower-case ASCII words: what is compared, so that accents and dots are no mistakes."""
    return " ".join(_NOT_ALPHANUMERIC.split(unidecode(name).lower())).strip()
