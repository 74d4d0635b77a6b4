"""A model to train further: the weights of another, and the names of one's own songs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from jukebox_core.checkpoints import LoadedParts, load_directory, save_directory
from jukebox_core.config import LabelVersion
from jukebox_core.errors import TrainingError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.prior import JukeboxPrior
from jukebox_core.training.dataset.label_lists import check_genres, kept_ids, vocabulary_of
from jukebox_core.training.dataset.manifest import ManifestEntry, read_manifest
from jukebox_core.training.dataset.new_model import (
    NewModel,
    count_parameters,
    refuse_existing,
    refuse_int8_weights,
    with_vocabularies,
)

_NOTHING = Vocabulary("v3", {}, {})


def model_from(
    source_dir: Path,
    data_dir: Path,
    model_dir: Path,
    *,
    keep: Sequence[str] = (),
    keep_all: bool = False,
    description: str = "",
    licence: str | None = None,
) -> NewModel:
    """Write a model with the weights of `source_dir`, ready to be trained on other songs.

    A name of the songs that the source knows keeps its row in the embeddings; a new one begins at
    the mean of all rows. Names of the source that no song has are gone, but for those to keep.

    Args:
        source_dir: a model directory, ours or of transformers.
        data_dir: holds a list of songs (`manifest.py`).
        model_dir: must not be there yet; the model is called as its last part.
        keep: artists and genres of the source that stay in the lists.
        keep_all: keep all of them.
        description: for people who choose among models.
        licence: the terms of the weights; None: those of the source, which bind what comes of it.

    Raises:
        TrainingError: `model_dir` is there, a genre has too many words, or a name to keep is not
            known to the source.
        CheckpointError: the source is no model directory.
    """
    refuse_existing(model_dir)
    songs = read_manifest(data_dir)
    parts = load_directory(source_dir)
    refuse_int8_weights(parts.priors, source_dir)
    old = {} if parts.tokenizer is None else dict(parts.tokenizer.vocabularies)
    new = _new_vocabularies(parts, songs, keep, keep_all)
    for prior in parts.priors:
        if prior.config.labels is not None:
            version = prior.config.labels.version
            _replace_rows(prior, old.get(version, _NOTHING), new[version])
    config = replace(
        with_vocabularies(parts.config, new),
        name=model_dir.name,
        description=description or f"{parts.config.name}, trained further",
        licence=parts.config.licence if licence is None else licence,
    )
    save_directory(model_dir, config, parts.vqvae, parts.priors, JukeboxTokenizer(new, config))
    return NewModel(config=config, num_parameters=count_parameters(parts.vqvae, parts.priors))


def _new_vocabularies(
    parts: LoadedParts, songs: Sequence[ManifestEntry], keep: Sequence[str], keep_all: bool
) -> dict[LabelVersion, Vocabulary]:
    check_genres(parts.config, songs)
    old = {} if parts.tokenizer is None else parts.tokenizer.vocabularies
    found: set[str] = set()
    new = {}
    for version in parts.config.label_versions:
        source = old.get(version, _NOTHING)
        artists, genres = set(source.artists), set(source.genres)
        if not keep_all:
            artists = {m for name in keep if (m := source.resolve_artist(name).matched)}
            genres = _genres_to_keep(source, keep)
            found |= {name for name in keep if source.resolve_artist(name).known}
            found |= {name for name in keep if _genres_to_keep(source, [name])}
        new[version] = vocabulary_of(version, songs, artists=artists, genres=genres)
    unknown = [] if keep_all else [name for name in keep if name not in found]
    if unknown:
        raise TrainingError(
            f"{parts.config.name} knows no artist and no genre called {', '.join(unknown)}"
        )
    return new


def _genres_to_keep(source: Vocabulary, names: Sequence[str]) -> set[str]:
    # However many words: this is no label of a song, which may have a few only.
    found = [genre for name in names for genre in source.resolve_genre(name, len(name) + 1)]
    return {genre.matched for genre in found if genre.matched is not None}


def _replace_rows(prior: JukeboxPrior, old: Vocabulary, new: Vocabulary) -> None:
    if prior.labels is None:
        return
    prior.labels.artist = _with_rows(prior.labels.artist, old.artists, new.artists)
    prior.labels.genre = _with_rows(prior.labels.genre, old.genres, new.genres)


def _with_rows(table: nn.Embedding, old: Mapping[str, int], new: Mapping[str, int]) -> nn.Embedding:
    """An embedding for the new ids: rows of known names as they were, the mean for the others."""
    num_rows = max(new.values()) + 1
    with torch.no_grad():
        weight = table.weight.mean(dim=0, keepdim=True).repeat(num_rows, 1)
        for new_id, old_id in kept_ids(old, new).items():
            weight[new_id] = table.weight[old_id]
    return nn.Embedding(num_rows, weight.shape[1], _weight=weight)
