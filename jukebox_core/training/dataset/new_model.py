"""A model directory to train in: from nothing, in the likeness of another, or from its weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from jukebox_core.checkpoints import save_directory
from jukebox_core.checkpoints.load import read_directory_config
from jukebox_core.config import JukeboxConfig, JukeboxPriorConfig, LabelVersion
from jukebox_core.errors import TrainingError
from jukebox_core.labels import JukeboxTokenizer, Vocabulary
from jukebox_core.models.catalog import locate_model
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.projection import INIT_STD, Projection
from jukebox_core.tiny import tiny_config
from jukebox_core.training.dataset.label_lists import check_genres, vocabulary_of
from jukebox_core.training.dataset.manifest import ManifestEntry, read_manifest
from jukebox_core.vqvae import JukeboxVQVAE

Vocabularies = dict[LabelVersion, Vocabulary]

_SHORTEST_WAVE_TOKENS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """What was written: the configuration, and how many numbers each part holds."""

    config: JukeboxConfig
    num_parameters: dict[str, int]


def new_model(
    data_dir: Path,
    model_dir: Path,
    *,
    like: str,
    seed: int = 0,
    description: str = "",
    licence: str = "",
) -> NewModel:
    """Write an untrained model whose label lists are those of the songs in `data_dir`.

    Args:
        data_dir: holds a list of songs (`manifest.py`).
        model_dir: must not be there yet; the model is called as its last part.
        like: "tiny", a model directory, or a bundled model ("mini"): its sizes are taken over.
        seed: of the random weights.
        description: for people who choose among models.
        licence: the terms of the weights.

    Raises:
        TrainingError: `model_dir` is there, or the songs do not fit such a model.
        CheckpointError: `like` is neither a known word nor a model directory.
    """
    refuse_existing(model_dir)
    songs = read_manifest(data_dir)
    pattern = _pattern(like)
    vocabularies = song_vocabularies(pattern, songs)
    config = replace(
        with_vocabularies(pattern, vocabularies),
        name=model_dir.name,
        description=description,
        licence=licence,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vqvae = JukeboxVQVAE(config.vqvae)
        priors = [_untrained_prior(prior) for prior in config.priors]
    save_directory(model_dir, config, vqvae, priors, JukeboxTokenizer(vocabularies, config))
    return NewModel(config=config, num_parameters=count_parameters(vqvae, priors))


def refuse_int8_weights(priors: Sequence[JukeboxPrior], model_dir: Path) -> None:
    """Raises TrainingError where there is nothing to train: int8 weights are for sampling."""
    if any(prior.has_int8_weights for prior in priors):
        raise TrainingError(
            f"{model_dir} has int8 weights, which cannot be trained: train the model that they "
            "were made of"
        )


def refuse_existing(model_dir: Path) -> None:
    """Raise TrainingError where a new model would take the place of something else."""
    if model_dir.exists():
        raise TrainingError(f"{model_dir} is there already: give the new model another name")


def song_vocabularies(config: JukeboxConfig, songs: Sequence[ManifestEntry]) -> Vocabularies:
    """Lists of the songs' names in all versions that the priors read.

    Raises:
        TrainingError: a genre has more words than a prior reads.
    """
    check_genres(config, songs)
    return {version: vocabulary_of(version, songs) for version in config.label_versions}


def with_vocabularies(config: JukeboxConfig, vocabularies: Vocabularies) -> JukeboxConfig:
    """The same model with as many artists and genres as the lists have."""
    top, middle, bottom = (_with_vocabulary(prior, vocabularies) for prior in config.priors)
    return replace(config, priors=(top, middle, bottom))


def _with_vocabulary(prior: JukeboxPriorConfig, vocabularies: Vocabularies) -> JukeboxPriorConfig:
    if prior.labels is None:
        return prior
    vocabulary = vocabularies[prior.labels.version]
    labels = replace(
        prior.labels,
        num_artists=max(vocabulary.artists.values()) + 1,
        num_genres=max(vocabulary.genres.values()) + 1,
    )
    return replace(prior, labels=labels)


def count_parameters(vqvae: JukeboxVQVAE, priors: Sequence[JukeboxPrior]) -> dict[str, int]:
    """Numbers in the weights of each part, codebooks counted."""
    parts = {"vqvae": vqvae} | {prior.config.level.label: prior for prior in priors}
    return {
        name: sum(tensor.numel() for tensor in part.state_dict().values())
        for name, part in parts.items()
    }


def _pattern(like: str) -> JukeboxConfig:
    if like == "tiny":
        return tiny_config()
    return read_directory_config(locate_model(like))


def _untrained_prior(config: JukeboxPriorConfig) -> JukeboxPrior:
    """A prior that learns sooner: residual branches begin at zero, a top prior's places as waves.

    Upsamplers are told the place by the codes above.
    """
    prior = JukeboxPrior(config)
    for name, module in prior.named_modules():
        if isinstance(module, Projection) and name.endswith(".output"):
            torch.nn.init.zeros_(module.weight)
    if config.conditioner is None:
        with torch.no_grad():
            prior.position_embedding.copy_(_waves(*prior.position_embedding.shape))
    return prior


def _waves(num_positions: int, width: int) -> Tensor:
    """Sines and cosines over the positions, float32 [num_positions, width], as loud as tokens.

    How far apart two places are, a beat or a bar, is then a rotation that attention finds at once;
    embeddings drawn at random must learn every place for itself. Periods lie from four tokens to
    twice the window, evenly in pitch ("Attention is all you need", 2017, section 3.5).
    """
    num_waves = -(-width // 2)
    shortest, longest = math.log(_SHORTEST_WAVE_TOKENS), math.log(2 * num_positions)
    periods = torch.linspace(shortest, longest, num_waves).exp()
    angles = torch.arange(num_positions)[:, None] * (2 * math.pi / periods)
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
    return waves[:, :width] * (INIT_STD * math.sqrt(2))
