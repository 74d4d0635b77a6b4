"""Artists and genres given by number, for names that no spelling reaches.

Some entries of the released v2 list cannot be met by any name, and several bands share one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jukebox_core.config import LabelConfig, LabelVersion
from jukebox_core.errors import LabelError
from jukebox_core.labels.vocabulary import UNKNOWN_ID, ResolvedName, Vocabulary

ArtistId = int | Mapping[LabelVersion, int]
GenreIds = Sequence[int] | Mapping[LabelVersion, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawIds:
    """Ids that stand in for names; None, or a version that is left out, leaves the name in force.

    One number means different artists in different label versions. So a model whose priors were
    trained with several of them takes a mapping, e.g. `{"v2": 1170}`.
    """

    artist_id: ArtistId | None = None
    genre_ids: GenreIds | None = None

    def check_versions(self, versions: set[LabelVersion]) -> None:
        """Refuse a bare number where it would mean different things.

        Raises:
            LabelError: `versions`, those of the model, are several.
        """
        for field, value in (("artist_id", self.artist_id), ("genre_ids", self.genre_ids)):
            if value is None or isinstance(value, Mapping) or len(versions) < 2:
                continue
            wanted = ", ".join(f'"{version}": ...' for version in sorted(versions))
            raise LabelError(
                f"{field}={value} means different names to the priors of this model, which read "
                f"the label versions {sorted(versions)}: give {{{wanted}}}, or some of them"
            )

    def artist(self, labels: LabelConfig, vocabulary: Vocabulary) -> ResolvedName | None:
        """The artist for one prior; None where the name is in force.

        Raises:
            LabelError: the prior has no such id.
        """
        id_ = self.artist_id
        if isinstance(id_, Mapping):
            id_ = id_.get(labels.version)
        if id_ is None:
            return None
        _check_range("artist_id", id_, labels.num_artists, labels.version)
        return _by_id(id_, vocabulary.artists)

    def genres(
        self, labels: LabelConfig, vocabulary: Vocabulary
    ) -> tuple[ResolvedName, ...] | None:
        """The genres for one prior; None where the text is in force.

        Raises:
            LabelError: the prior has no such id, or the ids are none or too many.
        """
        ids = self.genre_ids
        if isinstance(ids, Mapping):
            ids = ids.get(labels.version)
        if ids is None:
            return None
        if not 1 <= len(ids) <= labels.max_genres:
            raise LabelError(
                f"{len(ids)} genre_ids for {labels.version}, whose priors read 1 to "
                f"{labels.max_genres}"
            )
        for id_ in ids:
            _check_range("genre_ids", id_, labels.num_genres, labels.version)
        return tuple(_by_id(id_, vocabulary.genres) for id_ in ids)


def _check_range(field: str, id_: int, num_ids: int, version: LabelVersion) -> None:
    if not 0 <= id_ < num_ids:
        raise LabelError(f"{field}: {id_} is not among the {version} ids 0 to {num_ids - 1}")


def _by_id(id_: int, ids: Mapping[str, int]) -> ResolvedName:
    """The first name of an id; some ids have an embedding and no name."""
    known = id_ != UNKNOWN_ID
    matched = next((name for name, other in ids.items() if other == id_), None) if known else None
    return ResolvedName(name=matched or f"#{id_}", id=id_, known=known, matched=matched)
